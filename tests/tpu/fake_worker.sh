#!/usr/bin/env bash
# Programs of a worker's machine; the name this is called by says which. $FAKE_GCLOUD/machines keeps what they were
# asked, a tab after each word. Mounting makes a link to the one folder $FAKE_GCLOUD/bucket, unless $MOUNT is
#   missing     there is no such bucket
#   readonly    it can be mounted, but not written to
set -euo pipefail
program=${0##*/}
printf -v line '%s\t' "$program" "$@"
echo "$line" >>"$FAKE_GCLOUD/machines" # at once, as the programs of a pipe run side by side

case "$program $*" in
gcsfuse*)
    name=${*: -2:1} folder=${*: -1} bucket=$FAKE_GCLOUD/bucket
    [[ $MOUNT != missing ]] || { echo "Error: bucket $name does not exist" >&2; exit 1; }
    [[ $MOUNT != readonly ]] || bucket=/proc # where nobody can make a file, not even root
    rmdir "$folder"
    ln -s "$bucket" "$folder"
    ;;
mountpoint*) [[ -L ${*: -1} ]] ;;
curl*) echo "what lies at ${*: -1}" ;;
lsb_release*) echo jammy ;;
"sudo tee"*) cat >"$FAKE_GCLOUD/${2##*/}" ;;
sudo*install*) cp ~/gcsfuse ~/bin/gcsfuse ;;
sudo*update*) # the first time, the machine is just updating itself
    [[ -e ~/updated ]] || { touch ~/updated; echo "E: Could not get lock /var/lib/apt/lists/lock" >&2; exit 100; }
    ;;
hostname*) echo "host-$WORKER" ;;
sleep*) ;;
*) echo "unknown program $program $*" >&2; exit 1 ;;
esac
