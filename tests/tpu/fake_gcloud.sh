#!/usr/bin/env bash
# A gcloud whose slice is the folder $FAKE_GCLOUD/slice; $FAKE_GCLOUD/calls keeps what was asked, a tab after each word,
# ledger what was created and deleted. Files in scenario/ say what goes wrong:
#   states, node, exits  a line for each slice, the last for all after: the states seen in turn (UNTIL_EXIT: active till
#                        the command ended somewhere); the state of the node; the exit code of every worker's command,
#                        or hang, or vanish, or meet
#   bucket, status       the same: what becomes of every worker's mount (fake_worker.sh); the exit status where some
#                        worker's is not 0, as the real gcloud has that of any of them
#   refuse_VERB          the numbers of the calls to refuse, from 0, or "all"
# Workers are folders with their own $HOME, on which the real worker.sh runs; their bucket is the folder bucket.
set -euo pipefail
cd "$FAKE_GCLOUD"
{ printf '%s\t' "$@"; echo; } >>calls

fail() { echo "ERROR: $1" >&2; exit 1; }

setting() { # setting FILE DEFAULT: the line for the present slice
    [[ -e scenario/$1 ]] || { echo "$2"; return; }
    local lines line
    mapfile -t lines <"scenario/$1"
    line=$(<slice/generation)
    echo "${lines[line < ${#lines[@]} ? line : -1]}"
}

count() { # count FILE: how often it was called before
    local number=0
    [[ ! -e $1 ]] || number=$(<"$1")
    echo $((number + 1)) >"$1"
    echo "$number"
}

refuse() { # refuse VERB MESSAGE
    [[ -e scenario/refuse_$1 ]] || return 0
    local numbers number
    numbers=$(<"scenario/refuse_$1")
    number=$(count "refused_$1")
    [[ $numbers != all && " $numbers " != *" $number "* ]] || fail "$2"
}

there() { [[ -d slice ]] || fail "NOT_FOUND: no such resource"; }

if [[ "$1 $2" == "storage ls" ]]; then
    refuse ls "HTTPError 404: The specified bucket does not exist."
    exit
elif [[ "$1 $2" == "storage cp" ]]; then
    for file in bucket/${3#gs://store/}; do
        [[ -d $file ]] || cp "$file" "$OLDPWD/$4"
    done
    exit
fi

kind=$3 verb=$4
case "$kind $verb" in
"queued-resources create")
    refuse create "quota exceeded"
    mkdir slice
    count generations >slice/generation
    for index in 0 1; do cp -r worker "slice/w$index"; done
    echo created >>ledger
    ;;
"queued-resources describe")
    refuse describe "connection reset"
    there
    read -ra states <<<"$(setting states "PROVISIONING ACTIVE")"
    seen=$(count slice/looks)
    state=${states[seen < ${#states[@]} ? seen : -1]}
    if [[ $state == UNTIL_EXIT ]]; then
        compgen -G 'slice/w*/jaxft/exit' >/dev/null || echo "$seen" >slice/looks
        state=ACTIVE
    fi
    echo "$state"
    ;;
"queued-resources delete")
    refuse delete "internal error"
    there
    for pid in slice/w*/jaxft/pid; do
        [[ ! -e $pid ]] || kill -KILL -- "-$(<"$pid")" 2>/dev/null || true # the command may have ended by itself
    done
    rm -r slice
    echo deleted >>ledger
    ;;
"tpu-vm describe") there; setting node READY ;;
"tpu-vm scp") for index in 0 1; do cp "$5" "$6" "slice/w$index"; done ;;
"tpu-vm ssh")
    refuse ssh "connection refused"
    there
    read -ra exits <<<"$(setting exits "0 0")"
    read -ra buckets <<<"$(setting bucket "fine fine")"
    worst=0
    for index in 0 1; do
        command='' chosen=false
        for word in "$@"; do
            case $word in
            --worker=all | --worker="$index") chosen=true ;;
            --command=*) command=${word#--command=} ;;
            esac
        done
        $chosen || continue
        home=$FAKE_GCLOUD/slice/w$index
        (cd "$home" && env -i "HOME=$home" "PATH=$home/bin:/usr/bin:/bin" "FAKE_GCLOUD=$FAKE_GCLOUD" "WORKER=$index" \
            "EXIT=${exits[index]}" "MOUNT=${buckets[index]}" bash -c "$command") || worst=$?
    done
    ((!worst)) || exit "$(setting status "$worst")"
    ;;
*) fail "unknown command $kind $verb" ;;
esac
