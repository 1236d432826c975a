#!/bin/sh
# In a virtual machine: tries what needs a kernel of one's own, tells of it on the console, and switches off.
unit=panorama-agent.service
group=/sys/fs/cgroup/system.slice/$unit
tell() { echo "measured $1=$2" >/dev/ttyS0; }

# A container has no kernel of its own to hear from. Such a line counts as one of the kernel's for journald.
echo '<4>the link of dock 7 is down' >/dev/kmsg
logger --tag dock 'the door is open'

tell memory.max "$(cat $group/memory.max)"
tell pids.max "$(cat $group/pids.max)"
most=0
# 600 tries: the work is done when every log byte has been accepted
for try in $(seq 600); do
  now=$(cat $group/pids.current 2>/dev/null || echo 0)
  [ "$now" -le "$most" ] || most=$now
  status=$(panorama-agent status --json 2>/dev/null)
  case $status in
    *'"files":'"$FILES",*'"pendingBytes":0,'*) tell done "$try"; break ;;
  esac
  sleep 1
done
tell pids.most "$most"
tell memory.peak "$(cat $group/memory.peak)"
tell memory.current "$(cat $group/memory.current)"
tell memory.stat "$(grep -E '^(anon|file|kernel|slab) ' $group/memory.stat | tr '\n' ' ')"
tell restarts "$(systemctl show --value --property NRestarts $unit)"

# The clock of this machine is its own.
mkdir -p /etc/panorama-agent/allowed && : >/etc/panorama-agent/allowed/set-clock
before=$(date +%s)
printf '{"verb":"set-clock","argument":"%s"}' $((before + 86400)) >/run/panorama-agent/requests/clock
chown panorama-agent: /run/panorama-agent/requests/clock
mv /run/panorama-agent/requests/clock /run/panorama-agent/requests/clock.json
for try in $(seq 60); do [ ! -e /run/panorama-agent/answers/clock.json ] || break; sleep 1; done
tell set-clock "$(cat /run/panorama-agent/answers/clock.json)"
tell stepped $(($(date +%s) - before))

# Over the limit on purpose.
systemctl set-property --runtime $unit MemoryMax=24M
for try in $(seq 60); do journalctl -u $unit | grep -q 'oom-kill' && break; sleep 1; done
systemctl set-property --runtime $unit MemoryMax=768M
for try in $(seq 60); do journalctl -u $unit | grep -q 'the run before ended unexpectedly' && break; sleep 1; done
tell last-run "$(journalctl -u $unit -o cat | grep 'the run before ended unexpectedly' | tail -n 1)"
for try in $(seq 60); do [ "$(systemctl is-active $unit)" != active ] || break; sleep 1; done
tell state "$(systemctl is-active $unit)"
poweroff
