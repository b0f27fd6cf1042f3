#!/usr/bin/env bash
# Run one jaxft command on a Cloud TPU slice: create, set up, run, continue after preemption, fetch the results, delete.
set -euo pipefail
((BASH_VERSINFO[0] >= 5)) || { echo "tpu/run.sh: needs bash 5, found $BASH_VERSION" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=slice.sh
source "$root/tpu/slice.sh"

usage() {
    cat <<'EOF_USAGE'
usage: tpu/run.sh --name NAME --zone ZONE --type TYPE --bucket gs://BUCKET [options] -- \
           jaxft VERB CONFIG --out bucket/FOLDER [...]

  --name NAME         name of the queued resource and of its node
  --zone ZONE         such as us-west4-a
  --type TYPE         v4-N, v5p-N (N cores), v5e-N or v6e-N (N chips): v4-8, v5p-8, v5e-16
  --bucket gs://NAME  seen by every worker as the folder bucket/ of its working folder: results, checkpoints, models
  --spot              cheaper, may be preempted at any moment
  --project ID        default: the project of gcloud's configuration
  --env KEY=VALUE     environment of the command on every worker; may be repeated
  --results DIR       where record and report are copied (default: runs/NAME)
  --max-resumes N     how many lost slices are replaced (default: 20)
  --dry-run           print the commands and run none

The workers get the committed source (git HEAD). $JAXFT_TPU_POLL: seconds between checks of the slice (default: 30).
Exit status: that of the command; 1: the slice could not be had, set up or kept; 2: wrong options; 130: Ctrl-C.
EOF_USAGE
}

refuse() { echo "tpu/run.sh: $1" >&2; exit 2; }

name='' zone='' type='' project='' bucket='' results='' out=''
max_resumes=20 dry_run=false spot=() environment=() command=()
poll=${JAXFT_TPU_POLL:-30}

while (($#)); do
    option=$1
    shift
    case $option in
    --help) usage; exit ;;
    --spot) spot=(--spot); continue ;;
    --dry-run) dry_run=true; continue ;;
    --) command=("$@"); break ;;
    --name | --zone | --type | --project | --bucket | --env | --results | --max-resumes) ;;
    *) refuse "unknown option '$option'; see tpu/run.sh --help" ;;
    esac
    [[ -n ${1:-} && ${1:-} != --* ]] || refuse "$option needs a value"
    case $option in
    --name) name=$1 ;;
    --zone) zone=$1 ;;
    --type) type=$1 ;;
    --project) project=$1 ;;
    --bucket) bucket=${1%/} ;;
    --env) environment+=("$1") ;;
    --results) results=$1 ;;
    --max-resumes) max_resumes=$1 ;;
    esac
    shift
done

[[ -n $name ]] || refuse "--name is missing: a name for the slice, such as hotel-7b"
[[ -n $zone ]] || refuse "--zone is missing: a zone that has the slice, such as us-west4-a"
[[ $type =~ ^(v4|v5e|v5p|v6e)-([1-9][0-9]*)$ ]] ||
    refuse "--type: found '$type', expected v4-N, v5e-N, v5p-N or v6e-N, such as v5e-16"
case $type in
v4-*) accelerator=$type runtime=tpu-ubuntu2204-base ;;
v5e-*) accelerator=v5litepod-${type#v5e-} runtime=v2-alpha-tpuv5-lite ;;
v5p-*) accelerator=$type runtime=v2-alpha-tpuv5 ;;
v6e-*) accelerator=$type runtime=v2-alpha-tpuv6e ;;
esac
[[ $max_resumes =~ ^[0-9]+$ ]] || refuse "--max-resumes: found '$max_resumes', expected a whole number"
[[ $poll =~ ^[0-9]*\.?[0-9]+$ ]] || refuse "JAXFT_TPU_POLL: found '$poll', expected a number of seconds"
[[ -n $bucket ]] || refuse "--bucket is missing: the bucket that keeps the run, such as gs://BUCKET; see tpu/README.md"
[[ $bucket =~ ^gs://[a-z0-9][a-z0-9._-]*$ ]] ||
    refuse "--bucket: found '$bucket', expected gs://BUCKET, the name alone; a folder belongs into --out bucket/FOLDER"
for pair in "${environment[@]}"; do
    [[ $pair =~ ^[A-Za-z_][A-Za-z0-9_]*= ]] || refuse "--env: found '$pair', expected KEY=VALUE"
done
[[ ${command[0]:-} == jaxft ]] ||
    refuse "the command after -- is '${command[*]}', expected jaxft VERB CONFIG --out bucket/FOLDER"
for index in "${!command[@]}"; do
    case ${command[index]} in
    --out) out=${command[index + 1]:-} ;;
    --out=*) out=${command[index]#--out=} ;;
    esac
done
out=${out%/}
[[ $out/ =~ ^bucket/([^/]+/)+$ && ! /$out/ =~ /\.\.?/ ]] ||
    refuse "--out: found '$out', expected bucket/FOLDER, a folder of $bucket, which every worker sees as bucket/;
the disks of a slice vanish with it, on preemption at any moment, and a run continues from what its bucket holds"
saved=$bucket/${out#bucket/}
results=${results:-runs/$name}

git -C "$root" rev-parse --quiet --verify HEAD >/dev/null ||
    refuse "$root is no git checkout; the workers get what is committed there"
changed=$(git -C "$root" status --porcelain --untracked-files=no)
[[ -z $changed ]] || refuse "these changes would not reach the workers, which get git HEAD; commit them:
$changed"
for word in "${command[@]}"; do
    [[ $word != *.py ]] || git -C "$root" cat-file -e "HEAD:$word" 2>/dev/null ||
        refuse "$word is not committed in $root; the workers get git HEAD"
done

scratch=$(mktemp -d)
held=false # true if a slice may exist that this script must delete
finish() {
    local code=$?
    trap '' HUP INT TERM # a second Ctrl-C must not stop the deletion
    if $held && ! delete_slice; then
        say "!!! THE SLICE COULD NOT BE DELETED AND COSTS MONEY. Delete it yourself:"
        dry_run=true delete_call >&2
        ((code)) || code=1
    fi
    rm -rf "$scratch"
    exit "$code"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

print_plan() {
    create_call
    echo "# every $poll s until it is ACTIVE; when it is lost later: delete, and all again, $max_resumes times at most"
    upload
    echo "# job.sh:"
    sed 's/^/#   /' "$scratch/job.sh"
    setup
    start
    on_workers all "$worker status"
    on_workers 0 'tail -c +1 jaxft/log'
    delete_call
    copy_results
}

write_job
if $dry_run; then
    print_plan
    exit
fi
type -P gcloud >/dev/null || die "gcloud is not on the PATH; install the Google Cloud CLI"
git -C "$root" archive --format=tar.gz --output="$scratch/source.tar.gz" HEAD

gc storage ls "$bucket" >/dev/null 2>"$scratch/error" || die "the bucket $bucket cannot be listed from here:
$(<"$scratch/error")
Check its name, and that your account may read it"
describe queued-resources state.state
[[ $state != UNREACHABLE ]] || die "gcloud cannot look for '$name' in $zone:
$(<"$scratch/error")"
[[ $state == GONE ]] || die "a queued resource '$name' exists in $zone ($state); choose another name, or delete it:
$(dry_run=true delete_call)"

resumes=0
while true; do
    outcome=''
    use_slice
    case $outcome in
    done) break ;;
    failed) die "the command failed with exit code $failure; what it saved is in $saved" "$failure" ;;
    esac
    ((resumes < max_resumes)) ||
        die "slice lost ($state) after $resumes resumes; giving up (--max-resumes $max_resumes).
What was saved is in $saved; the same tpu/run.sh command continues from there"
    resumes=$((resumes + 1))
    say "slice lost ($state); a new one continues from the last checkpoint (resume $resumes of $max_resumes)"
    delete_slice || exit 1
    sleep "$poll"
done

say "the command is done; deleting the slice"
delete_slice || exit 1
copy_results || die "the results could not be copied; they are in $saved"
say "results: $results"
