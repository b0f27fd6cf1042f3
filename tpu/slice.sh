# shellcheck shell=bash
# Functions of run.sh, whose variables they read: create, watch and delete a slice, and run commands on its workers.

patience=60                     # failed checks in a row before giving up on an unreachable slice
grace=4                         # checks between a worker's failure and the verdict that the run failed
worker='bash jaxft/source/tpu/worker.sh'

say() { echo "tpu: $1" >&2; }

die() { # die MESSAGE [CODE]
    say "$1"
    exit "${2:-1}"
}

gc() { # call gcloud; on a dry run print its command line
    local line words=(gcloud "$@" --quiet ${project:+"--project=$project"})
    if $dry_run; then
        printf -v line '%q ' "${words[@]}"
        echo "${line% }"
    else
        "${words[@]}" </dev/null
    fi
}

describe() { # describe KIND FIELD: sets `state` to what gcloud prints, to GONE or to UNREACHABLE
    if state=$(gc compute tpus "$1" describe "$name" "--zone=$zone" "--format=value($2)" 2>"$scratch/error"); then
        state=${state:-UNKNOWN}
    elif grep -q NOT_FOUND "$scratch/error"; then
        state=GONE
    else
        state=UNREACHABLE
    fi
}

is_lost() {
    [[ $state == @(SUSPENDING|SUSPENDED|FAILED|DELETING|GONE|PREEMPTED|TERMINATED|STOPPING|STOPPED) ]]
}

look() { # check an active slice: sets `state` and, if it is lost, `outcome`
    describe queued-resources state.state
    if [[ $state == ACTIVE ]]; then
        describe tpu-vm state
    fi
    ! is_lost || outcome=lost
}

create_call() {
    gc compute tpus queued-resources create "$name" "--node-id=$name" "--zone=$zone" \
        "--accelerator-type=$accelerator" "--runtime-version=$runtime" "${spot[@]}"
}

delete_call() { gc compute tpus queued-resources delete "$name" "--zone=$zone" --force; }

delete_slice() { # true when it is gone
    local tries=0 looks=0
    describe queued-resources state.state
    while [[ $state != GONE ]]; do
        if [[ $state == DELETING ]]; then
            ((++looks < patience)) || return 1
        else
            ((++tries <= 3)) || return 1
            delete_call || say "deleting '$name' failed (try $tries of 3)"
        fi
        describe queued-resources state.state
        [[ $state == GONE ]] || { sleep "$poll" && describe queued-resources state.state; }
    done
    held=false
}

on_workers() { # on_workers all|0 COMMAND
    # A worker that vanished must not delay the check of the slice's state for minutes.
    gc compute tpus tpu-vm ssh "$name" "--zone=$zone" "--worker=$1" \
        --ssh-flag=-oConnectTimeout=20 --ssh-flag=-oServerAliveInterval=20 "--command=$2"
}

write_job() { # the command as a script, so that its words are quoted once and secrets stay out of gcloud's arguments
    {
        if ((${#environment[@]})); then
            printf 'export %q\n' "${environment[@]}"
        fi
        printf 'exec'
        printf ' %q' "${command[@]}"
        printf '\n'
    } >"$scratch/job.sh"
}

upload() {
    gc compute tpus tpu-vm scp "$scratch/source.tar.gz" "$scratch/job.sh" "$name:" "--zone=$zone" --worker=all
}

setup() {
    local unpack='mkdir -p jaxft/source && tar -xzf source.tar.gz -C jaxft/source && mv job.sh jaxft/job.sh'
    on_workers all "$unpack && $worker setup ${bucket#gs://}"
}

start() { on_workers all "$worker start"; }

copy_results() { # record, report and charts; checkpoints and models, in folders below, stay in the bucket
    $dry_run || mkdir -p "$results"
    gc storage cp "$saved/*" "$results"
}

use_slice() { # one slice from its creation until the command ended or the slice was lost; sets `outcome`
    say "creating '$name' ($type${spot:+, spot}) in $zone"
    held=true # from here on there may be a slice, even if the call fails
    # Signals wait until the call returns: an aborted call could create the slice after the check that precedes deletion.
    if ! (trap '' HUP INT TERM && create_call); then
        ((resumes)) || die "gcloud could not create the slice; its message is above"
        state='not created' outcome=lost
    fi
    local step
    for step in wait_until_active prepare watch_command; do
        [[ -n $outcome ]] || "$step"
    done
}

wait_until_active() {
    local before='' misses=0
    while true; do
        describe queued-resources state.state
        if [[ $state == ACTIVE ]]; then
            return
        elif [[ $state == FAILED ]] && ((!resumes)); then
            gc compute tpus queued-resources describe "$name" "--zone=$zone" >&2 || true
            die "the request for the slice failed; the reason is in its description above"
        elif is_lost; then
            outcome=lost
            return
        elif [[ $state == UNREACHABLE ]]; then
            ((++misses < patience)) || die "gcloud has not answered $misses times: $(<"$scratch/error")"
        else
            misses=0
        fi
        [[ $state == "$before" ]] || say "waiting: $state"
        before=$state
        sleep "$poll"
    done
}

refusal() { # print the message of the first worker that cannot use the bucket; false if all can
    awk '$1 == "jaxft-bucket" && (!host || $2 == host) { host = $2; sub(/^[^ ]+ /, ""); print } END { exit !host }' \
        "$scratch/setup"
}

prepare() {
    : >"$scratch/setup"
    for _ in 1 2 3; do # workers may refuse connections for a while after they turned active
        say "setting up the workers"
        if upload && setup >"$scratch/setup" && ! refusal >/dev/null && start; then
            return
        fi
        look
        [[ -z $outcome ]] || return 0
        # Another try would not help. gcloud's exit status does not tell: it is that of one worker, perhaps another one.
        ! refusal >"$scratch/refusal" || die "the workers cannot use $bucket:
$(<"$scratch/refusal")
Check its name, and that the service account of the workers has roles/storage.objectAdmin on it; see tpu/README.md"
        sleep "$poll"
    done
    die "the workers could not be set up; the messages are above"
}

watch_command() { # follows the log of worker 0 until every worker ended or the slice is lost
    local seen=0 misses=0 failing=0 text codes
    say "running: ${command[*]}"
    while [[ -z $outcome ]]; do
        sleep "$poll"
        look
        [[ -z $outcome ]] || return 0
        if text=$(on_workers all "$worker status" 2>"$scratch/error") && [[ $text == *jaxft-status* ]] &&
            on_workers 0 "tail -c +$((seen + 1)) jaxft/log" >"$scratch/news" 2>"$scratch/error"; then
            misses=0
        else
            ((++misses < patience)) || die "the workers have not answered $misses times: $(<"$scratch/error")"
            continue
        fi
        cat "$scratch/news"
        seen=$((seen + $(wc -c <"$scratch/news")))

        codes=$(awk '$1 == "jaxft-status" { print $3 }' <<<"$text" | sort -u)
        failure=$(grep -vx -e running -e 0 <<<"$codes" | head -n 1 || true)
        if [[ $codes == 0 ]]; then
            outcome='done'
        elif grep -qx -e 75 -e gone <<<"$codes"; then # stopped by a signal, or by a worker that rebooted
            state='interrupted' outcome=lost
        elif [[ -n $failure ]] && ((++failing >= grace)); then
            # Not at once: a preempted worker makes the others fail before the slice is known to be lost.
            outcome=failed
            on_workers all "$worker tail" >&2 || true
        fi
    done
}
