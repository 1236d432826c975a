import { releasedAtMs } from '../build-info.ts'
import { handleRequests } from './handle-requests.ts'
import { systemClock } from './system-clock.ts'
import { realUpdatePlaces } from './update/update-places.ts'

/**
 * The oneshot that panorama-agent-request.path starts, as root. Every path stands here: neither arguments, nor the
 * environment, nor any file of the agent's has a say.
 */
async function main(): Promise<void> {
  const end = await handleRequests({
    runtimeFolder: '/run/panorama-agent',
    workFolder: '/run/panorama-agent-root',
    configFolder: '/etc/panorama-agent',
    owner: { uid: 0, gid: 0 },
    systemctl: 'systemctl',
    update: realUpdatePlaces,
    clock: systemClock,
    releasedAtMs,
    print: (line) => {
      process.stdout.write(`${line}\n`)
    },
  })
  process.exitCode = end === 'finished' ? 0 : 1
}

void main()
