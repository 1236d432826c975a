import { randomBytes } from 'node:crypto'
import { appendFile, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { expect, it } from 'vitest'

import { agentCommand } from '../support/agent-process.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { syncsOf, whatIsNotDurable } from '../support/durable-calls.ts'
import { whyNoStrace } from '../support/strace.ts'
import { parseSystemCalls, type SystemCall } from '../support/system-calls.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const noStrace = await whyNoStrace()
if (noStrace !== undefined) console.log(`skipped, because strace does not work here: ${noStrace}`)

const traced = 'fsync,fdatasync,rename,renameat,renameat2,link,linkat,symlink,symlinkat,write,writev,pwrite64,pwritev'

it.skipIf(noStrace !== undefined)('syncs every file before, and its folder after, it gets its name', async () => {
  await using site = await createAgentSite()
  const calls = await traceOnePass(site)
  const { stateFolder, runtimeFolder } = site.appliance
  const renames = calls.filter(
    ({ name, paths: [, to = ''] }) =>
      name.startsWith('rename') && (to.startsWith(`${stateFolder}/`) || to.startsWith(`${runtimeFolder}/`)),
  )
  const renamed = renames.map(({ paths: [, to = ''] }) => to)
  expect(renamed.map((to) => to.replace(/[0-9a-f]{64}/, 'ID').replace(/\/[0-9a-f]{2}\//, '/HH/')).sort()).toEqual(
    expect.arrayContaining([
      site.cameraFile,
      join(site.artifactFolder, 'current'),
      join(site.artifactFolder, 'index.json'),
      join(site.artifactFolder, 'releases', 'ID'),
      join(site.artifactFolder, 'releases', 'ID.json'),
      join(site.artifactFolder, 'store', 'sha256', 'HH', 'ID-0444'),
      join(stateFolder, 'logs', 'cursors.json'),
    ]),
  )
  for (const rename of renames) {
    const [from = '', to = ''] = rename.paths
    if (to === join(runtimeFolder, 'log-cursors.json')) continue // a copy in memory, which no power cut leaves
    expect(whatIsNotDurable(calls, rename), `${from} became ${to}`).toEqual([])
  }
})

it.skipIf(noStrace !== undefined)('syncs every folder of a release before the release gets its name', async () => {
  await using site = await createAgentSite()
  const calls = await traceOnePass(site)
  const release = calls.find(({ paths: [, to = ''] }) => /\/releases\/[0-9a-f]{64}$/.test(to))
  const tree = release?.paths[0] ?? ''
  const links = calls.filter(({ name, paths }) => /^link(at)?$/.test(name) && paths.at(-1)?.startsWith(`${tree}/`))
  expect(links.map(({ paths }) => paths.at(-1)?.slice(tree.length)).sort()).toEqual(
    ['/deep/er/b', '/deep/er/c', '/a'].sort(),
  )
  for (const { paths, end } of links) {
    const folder = dirname(paths.at(-1) ?? '')
    expect(
      syncsOf(calls, folder).some((sync) => sync.begin > end && sync.end < (release?.begin ?? 0)),
      folder,
    ).toBe(true)
  }
})

async function traceOnePass(site: AgentSite): Promise<readonly SystemCall[]> {
  const trace = join(site.folder, 'trace')
  for (const path of ['a', 'deep/er/b', 'deep/er/c']) await site.publish(path, randomBytes(50_000))
  site.setPassword('first')
  await appendFile(join(site.appliance.logsFolder, 'app.log'), 'one line\n')
  const strace = ['strace', '-f', '-y', '-qq', '-s', '1', '--seccomp-bpf', '-o', trace, '-e', `trace=${traced}`]
  const agent = site.start({ command: [...strace, ...agentCommand] })
  const { agent: running, logs } = await agent.until(
    ({ artifacts: [artifact], cameras: [camera] }) =>
      artifact?.releaseId !== undefined && camera?.versionId !== undefined,
  )
  await waitUntil('the log line arrived', () => arrivedMessages(site.cloud, logs.group, 'app').length === 1)
  process.kill(running.pid, 'SIGTERM') // strace would keep the signal to itself
  expect(await exitOf(agent)).toEqual({ code: 0, signal: null })
  return parseSystemCalls(await readFile(trace, 'utf8'))
}
