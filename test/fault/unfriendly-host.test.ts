import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

import { expect, it } from 'vitest'

import { socketPathIn } from '../../agent/status/status-client.ts'
import type { StatusDocument } from '../../agent/status/status-document.ts'
import { agentCommand } from '../support/agent-process.ts'
import { createAgentSite } from '../support/agent-site.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'
import { mountSmallDisk, remountReadOnly, whyNoMount } from '../support/small-disk.ts'

const noMount = await whyNoMount()
if (noMount !== undefined) console.log(`skipped, because no file system can be mounted here: ${noMount}`)

it.skipIf(noMount !== undefined)('starts on a state folder that has become read-only, and cameras go on', async () => {
  await using site = await createAgentSite({ config: () => ({ downloads: { minFreeBytes: 0 } }) })
  const { stateFolder } = site.appliance
  await mkdir(stateFolder)
  await using _ = await mountSmallDisk(stateFolder)
  await site.publish('a', 'content')
  site.setPassword('first')
  const first = site.start()
  const before = await first.until(isWell)
  await first.stop()
  await remountReadOnly(stateFolder)
  site.setPassword('second')
  const second = site.start()
  const { cameras, artifacts } = await second.until(({ cameras: [camera] }) => camera?.state === 'ok')
  expect(cameras[0]?.versionId).not.toBe(before.cameras[0]?.versionId)
  expect(artifacts[0]?.releaseId ?? before.artifacts[0]?.releaseId).toBe(before.artifacts[0]?.releaseId)
  expect(await second.stop()).toEqual({ code: 0, signal: null })
})

it('outlives whoever reads its output', async () => {
  await using site = await createAgentSite()
  site.setPassword('first')
  await site.publish('a', 'content')
  const agent = site.start()
  await agent.until(isWell)
  agent.closeOutput()
  for (const password of ['second', 'third', 'fourth']) {
    site.setPassword(password)
    const before = await agent.status()
    await site.refresh()
    const after = await agent.until(({ cameras: [camera] }) => camera?.versionId !== before.cameras[0]?.versionId)
    expect(after.agent.pid).toBe(agent.pid)
  }
})

it.each(['itself', 'and the one around it'])(
  'makes the folder of camera files again, removed %s',
  { timeout: 80_000 },
  async (what) => {
    await using site = await createAgentSite()
    site.setPassword('first')
    await site.publish('a', 'content')
    const agent = site.start()
    await agent.until(isWell)
    const folder = dirname(site.cameraFile)
    if (what === 'itself') {
      await rm(folder, { recursive: true })
      await site.refresh()
    } else await rm(dirname(folder), { recursive: true }) // and the socket with it: the next refresh mends it
    await waitUntil('the file is there again', () => existsSync(site.cameraFile), 50_000)
    agent.kill('SIGTERM')
    expect(await exitOf(agent)).toEqual({ code: 0, signal: null })
  },
)

it('ends a question that is interrupted with a failure, at once', async () => {
  await using site = await createAgentSite()
  await site.publish('a', 'content')
  site.cloud.faults.inject({ kind: 'latency', delayMs: 30_000 }, { service: 's3' })
  const agent = site.start()
  await agent.until(({ credentials: [base] }) => base?.state === 'ok')
  const [node = '', ...args] = agentCommand
  const socket = socketPathIn(site.appliance.runtimeFolder)
  const question = spawn(node, [...args, 'sync', '--socket', socket], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  question.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = once(question, 'close')
  await waitUntil('the question is asked', () => isConnectedTo(socket))
  question.kill('SIGTERM')
  const [code] = (await ended) as [number | null]
  expect({ code, said }).toEqual({ code: 1, said: 'panorama-agent: interrupted by SIGTERM\n' })
})

/** Whether the server of a socket has a connection, by proc_net_unix(5): the accepted end has the path, and state 3. */
function isConnectedTo(path: string): boolean {
  const sockets = readFileSync('/proc/net/unix', 'utf8').split('\n')
  return sockets.some((line) => line.endsWith(` ${path}`) && line.split(/\s+/)[5] === '03')
}

function isWell({ artifacts, cameras }: StatusDocument): boolean {
  return [...artifacts, ...cameras].every(({ state }) => state === 'ok')
}
