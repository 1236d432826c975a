import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { connect, createServer } from 'node:net'

/** In a virtual machine: brings the network up, and hands each of the ports in argv on to the host's loopback. */
const host = '10.0.2.2'
const card = readdirSync('/sys/class/net').find((name) => name !== 'lo') ?? 'eth0'

for (const args of [
  ['link', 'set', 'lo', 'up'],
  ['link', 'set', card, 'up'],
  ['addr', 'add', '10.0.2.15/24', 'dev', card],
])
  execFileSync('ip', args)

for (const port of process.argv.slice(2).map(Number))
  createServer((near) => {
    const far = connect(port, host)
    near.on('error', () => far.destroy()).pipe(far)
    far.on('error', () => near.destroy()).pipe(near)
  }).listen(port, '127.0.0.1')
