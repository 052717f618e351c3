#!/bin/busybox sh
# The guest's first process: drivers, address, services, then the sentence the lab waits for, then a shell on the
# console. All it is told comes as godwit.* words on the kernel's command line (see spec.ts).
/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /tmp
exec </dev/console >/dev/console 2>&1

for module in $(cat /lib/modules/order); do
  insmod "/lib/modules/$module.ko"
done

workload=idle
for word in $(cat /proc/cmdline); do
  case "$word" in
    godwit.ip=*) ip=${word#*=} ;;
    godwit.client=*) client=${word#*=} ;;
    godwit.workload=*) workload=${word#*=} ;;
    godwit.writer=*) writer=${word#*=} ;;
    godwit.name=*) hostname "${word#*=}" ;;
  esac
done

ip link set lo up
if [ -n "$ip" ]; then
  ip addr add "$ip" dev eth0 && ip link set eth0 up
  if [ -n "$client" ]; then ip route add default via "$client" 2>/dev/null; fi
fi

problem() {
  echo "godwit-guest: failed: $1"
}

ready=yes
case "$workload" in
  idle) ;;
  writer)
    # Commas on the command line, words here: SET RATE PATTERN CONTENT SEED.
    writer 7009 $(echo "$writer" | tr , ' ') || { problem writer; ready=no; }
    ;;
  redis)
    echo 1 >/proc/sys/vm/overcommit_memory
    redis-server --bind "${ip%/*}" 127.0.0.1 --port 6379 --save '' --appendonly no --protected-mode no \
      --daemonize yes --dir /tmp --logfile /tmp/redis.log
    tries=0
    until echo PING | nc -w 1 127.0.0.1 6379 2>/dev/null | grep -q PONG; do
      tries=$((tries + 1))
      if [ "$tries" -gt 200 ]; then problem redis; ready=no; break; fi
      usleep 50000
    done
    ;;
  *) problem "unknown workload $workload"; ready=no ;;
esac
# Last: whoever hears an echo takes the guest for ready, and a memory writer first fills its set.
if [ -n "$client" ]; then
  beacon "$client" 7008 1000 || { problem beacon; ready=no; }
fi
echo-service 7007 || { problem echo; ready=no; }
if [ "$ready" = yes ]; then echo "godwit-guest: ready"; fi

while :; do
  setsid -c sh
done
