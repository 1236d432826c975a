import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { startIotCloud, type IotCloud } from '../test/cloud/iot/iot-cloud.ts'
import { AgentProcess, agentCommand } from '../test/support/agent-process.ts'
import { createApplianceFiles } from '../test/support/appliance-files.ts'
import { openCountingLink, type CountingLink, type LinkTraffic } from '../test/support/counting-link.ts'
import { dayTraffic, monthCosts } from './day-costs.ts'

/**
 * Measures what an appliance at rest asks of AWS and what goes over its line, by the real process on the real clock, with
 * the intervals of the defaults: one artifact, two cameras, AWS IoT Core, metrics, nothing in the logs. Each service is behind a
 * link of its own that counts the bytes of its sockets. Prints the figures of the time measured, those of a day scaled from it, what AWS
 * bills for 1,000 of them, and one line of JSON. The servers of the local cloud close a connection that was idle for a minute.
 */
const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '60' }, 'settle-minutes': { type: 'string', default: '3' } },
})
const minuteMs = 60_000
const secretIds = ['panorama/shared/dock-1', 'panorama/shared/dock-2']

await using resources = new AsyncDisposableStack()
const folder = await mkdtemp(join(tmpdir(), 'panorama-bench-day-'))
resources.defer(() => rm(folder, { recursive: true, force: true }))
const cloud = resources.use(await startIotCloud())
await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'app/model', body: 'model' })
const secret = JSON.stringify({ username: 'viewer', password: 'secret', streamUrl: '' })
for (const secretId of secretIds) cloud.secrets.createSecret(secretId, secret)
const { endpoints, links } = await linkedEndpoints(cloud)
const appliance = await createApplianceFiles({
  cloud,
  folder,
  thingName: 'panorama_bench',
  config: {
    endpoints,
    artifacts: [{ name: 'app', accessPoint: cloud.names.accessPointArn, prefix: 'app/' }],
    cameras: { streams: secretIds.map((secretId, index) => ({ name: `dock-${index}`, secretId, probe: false })) },
    logs: { sources: [{ kind: 'file', path: join(folder, 'logs', '*.log') }] },
  },
})
const agent = resources.use(new AgentProcess({ ...appliance, command: agentCommand }))
await agent.until(
  ({ connection, artifacts, cameras }) =>
    connection?.state === 'connected' && [...artifacts, ...cameras].every(({ state }) => state === 'ok'),
)
await delay(Number(values['settle-minutes']) * minuteMs)
const linesBefore = agent.output.length
cloud.requests.clear()
const before = readLinks()
await delay(Number(values.minutes) * minuteMs)
const after = readLinks()
const requests = Object.fromEntries(cloud.requests.countByAction())
const traffic = Object.fromEntries(
  Object.entries(after).map(([name, end]) => [name, difference(end, before[name] ?? end)]),
)
const measured = { minutes: Number(values.minutes), traffic, requests }
console.table(traffic)
console.table(requests)
console.log('an appliance and day, scaled from that')
console.table(dayTraffic(measured))
console.log('1,000 appliances, 30 days')
console.table(monthCosts(measured))
console.log(agent.output.slice(linesBefore) || 'the agent logged nothing')
console.log(JSON.stringify(measured))
await resources.disposeAsync()
process.exit(0) // the CRT would keep it alive

async function linkedEndpoints(cloud: IotCloud): Promise<{
  readonly endpoints: Readonly<Record<string, string>>
  readonly links: Readonly<Record<string, CountingLink>>
}> {
  const links: Record<string, CountingLink> = {}
  const linked: Record<string, string> = {}
  for (const [name, endpoint] of Object.entries<string>({ ...cloud.endpoints })) {
    const port = /:(\d+)$/.exec(endpoint)?.[1]
    if (port === undefined) continue
    const link = resources.use(await openCountingLink({ toPort: Number(port) }))
    links[name] = link
    linked[name] = endpoint.replace(/:\d+$/, `:${link.port}`)
  }
  return { endpoints: linked, links }
}

function readLinks(): Readonly<Record<string, LinkTraffic>> {
  return Object.fromEntries(Object.entries(links).map(([name, link]) => [name, link.traffic()]))
}

function difference(end: LinkTraffic, start: LinkTraffic): LinkTraffic {
  return {
    connections: end.connections - start.connections,
    bytesSent: end.bytesSent - start.bytesSent,
    bytesReceived: end.bytesReceived - start.bytesReceived,
    pieces: end.pieces - start.pieces,
  }
}
