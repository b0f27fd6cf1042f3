#!/usr/bin/env bash
# The part of run.sh that runs on a worker, in ~/jaxft: worker.sh setup BUCKET | start | job | status | tail.
set -euo pipefail
cd ~/jaxft

apt_get() { # retries for two minutes: a fresh machine updates itself, and apt does not wait for its own lock
    for _ in {1..12}; do
        ! sudo DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 "$@" || return 0
        sleep 10
    done
    return 1
}

install_gcsfuse() {
    local site=https://packages.cloud.google.com/apt keyring=/usr/share/keyrings/cloud.google.asc
    curl -fsSL "$site/doc/apt-key.gpg" | sudo tee "$keyring" >/dev/null
    echo "deb [signed-by=$keyring] $site gcsfuse-$(lsb_release -cs) main" |
        sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
    apt_get update
    apt_get install gcsfuse
}

mount_bucket() { # mount_bucket BUCKET
    mkdir -p source/bucket
    # Uploaded folders have no object of their own, so they are implicit. Complete folders are renamed. Several machines
    # read the same folders, so metadata must not be cached, which gcsfuse does without limit on hosts of TPUs.
    gcsfuse --implicit-dirs --rename-dir-limit=1000000 --metadata-cache-ttl-secs=0 "$1" ~/jaxft/source/bucket \
        >gcsfuse.log 2>&1 </dev/null || refuse_bucket "mount $1"
}

try_bucket() { # try_bucket BUCKET: write, read and delete a file
    local file=source/tpu/worker.sh probe
    probe=source/bucket/.probe-$(hostname)
    # Not with echo: the file is sent when it is closed, and the shell ignores errors of closing.
    { cp "$file" "$probe" && cmp "$file" "$probe" && rm "$probe"; } >gcsfuse.log 2>&1 || refuse_bucket "write to $1"
}

refuse_bucket() { # refuse_bucket WHAT: print marked lines, which run.sh looks for, and stop
    { echo "cannot $1"; tail -n 5 gcsfuse.log; } | sed "s/^/jaxft-bucket $(hostname): /"
    exit 3
}

case $1 in
setup) # may be repeated
    # The bucket is mounted last: a mounted bucket means that all is done, and an installation would walk through it.
    if ! mountpoint -q source/bucket; then
        # The images of Cloud TPU bring Python 3.10; uv fetches a newer one without root.
        python3 -m pip install --quiet --user uv
        [[ -x env/bin/python ]] || ~/.local/bin/uv venv --quiet --python 3.12 env
        ~/.local/bin/uv pip install --quiet --python env/bin/python --editable 'source[tpu,hosted]'
        command -v gcsfuse >/dev/null || install_gcsfuse
        mount_bucket "$2"
    fi
    try_bucket "$2"
    ;;
start) # detached, so that a dropped connection does not end the command
    [[ ! -e pid ]] || exit 0 # after a repeated connection the command is not started twice
    setsid nohup bash source/tpu/worker.sh job >log 2>&1 </dev/null &
    echo $! >pid
    ;;
job)
    trap : TERM # outlive the shutdown signal until the command has saved, and note its own exit code
    export PATH=~/jaxft/env/bin:$PATH PYTHONUNBUFFERED=1
    cd source
    exec 3<bucket # keeps it in use: gcsfuse gets the shutdown signal too and would unmount before the command has saved
    code=0
    bash ../job.sh || code=$?
    echo "$code" >../exit
    ;;
status) # running, the exit code, or gone: ended without an exit code, as after a reboot
    status=gone
    ! kill -0 "$(cat pid)" 2>/dev/null || status=running
    [[ ! -s exit ]] || status=$(cat exit)
    echo "jaxft-status $(hostname) $status"
    ;;
tail) # the end of the log of a command that failed here
    if [[ -s exit && $(cat exit) != 0 ]]; then
        { echo "exit code $(cat exit), end of the log:"; tail -n 40 log; } | sed "s/^/$(hostname): /"
    fi
    ;;
*)
    echo "worker.sh: unknown step '$1'" >&2
    exit 2
    ;;
esac
