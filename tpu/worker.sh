#!/usr/bin/env bash
# What run.sh does on a worker: worker.sh setup [DATA] | start | job | status | tail. All of it lies in ~/jaxft.
set -euo pipefail
cd ~/jaxft

case $1 in
setup) # again and again does no harm
    # The images of Cloud TPU bring Python 3.10; uv fetches a newer one without root.
    python3 -m pip install --quiet --user uv
    [[ -x env/bin/python ]] || ~/.local/bin/uv venv --quiet --python 3.12 env
    ~/.local/bin/uv pip install --quiet --python env/bin/python --editable 'source[tpu]'
    if [[ -n ${2:-} ]]; then
        folder=source/data/$(basename "$2")
        mkdir -p "$folder"
        gcloud storage rsync --recursive "$2" "$folder"
    fi
    ;;
start) # detached: a dropped connection does not end it
    [[ ! -e pid ]] || exit 0 # the connection is tried again, the command is not started twice
    setsid nohup bash source/tpu/worker.sh job >log 2>&1 </dev/null &
    echo $! >pid
    ;;
job)
    trap : TERM # outlive the shutdown signal until the command has saved, and note its own exit code
    export PATH=~/jaxft/env/bin:$PATH PYTHONUNBUFFERED=1
    cd source
    code=0
    bash ../job.sh || code=$?
    echo "$code" >../exit
    ;;
status) # running, the exit code, or gone: ended without a word, as after a reboot
    status=gone
    ! kill -0 "$(cat pid)" 2>/dev/null || status=running
    [[ ! -s exit ]] || status=$(cat exit)
    echo "jaxft-status $(hostname) $status"
    ;;
tail) # why the command failed here
    if [[ -s exit && $(cat exit) != 0 ]]; then
        { echo "exit code $(cat exit), end of the log:"; tail -n 40 log; } | sed "s/^/$(hostname): /"
    fi
    ;;
*)
    echo "worker.sh: unknown step '$1'" >&2
    exit 2
    ;;
esac
