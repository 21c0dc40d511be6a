# For scripts that run in the guest: a board that is served there, and its own door. ROCD is the program.

# serve OPTION…: start it; its lines go through descriptors 3 and 4.
serve() {
    mkfifo /run/lines /run/answers
    "$ROCD" sim serve "$@" </run/lines >/run/answers 2>/mnt/served.log &
    exec 3>/run/lines 4</run/answers
    read -r line <&4 || { cat /mnt/served.log; exit 90; }
}

# ask LINE: what it answers before `ok`; 1 on an error.
ask() {
    printf '%s\n' "$1" >&3
    while read -r line <&4; do
        case $line in
            ok) return 0 ;;
            error:*) echo "$line"; return 1 ;;
            *) echo "$line" ;;
        esac
    done
    return 1
}

# on_bus COUNT: wait until so many probes are there, with their interfaces.
on_bus() {
    i=0
    while [ "$(ls -d /sys/bus/usb/devices/[0-9]*-[0-9]*:1.0 2>/dev/null | grep -vc -- '-0:')" != "$1" ]; do
        i=$((i + 1))
        [ $i -lt 500 ] || { echo "not $1 on the bus"; ls /sys/bus/usb/devices; exit 91; }
        sleep 0.02
    done
}

# check STATUS COMMAND…: run it, tell what it is, fail unless it ends with STATUS.
check() {
    wanted=$1
    shift
    echo "\$ $*"
    status=0
    "$@" 2>&1 || status=$?
    [ $status = "$wanted" ] || { echo "ended with $status, not $wanted"; cat /mnt/served.log; exit 92; }
}
