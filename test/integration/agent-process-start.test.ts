import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import { createAgentSite } from '../support/agent-site.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

describe('an agent without identity', () => {
  it('says so with a hint, and goes to work without a restart when the identity arrives', async () => {
    await using site = await createAgentSite()
    await site.publish('a', 'content')
    site.setPassword('first')
    const { identityFolder } = site.appliance
    const away = join(site.folder, 'not-yet')
    await rename(identityFolder, away)
    const agent = site.start()
    const { identity } = await agent.until(({ identity: { state } }) => state === 'missing')
    expect(identity.lastError).toMatchObject({ hint: expect.stringContaining('provision the appliance') as string })
    await rename(away, identityFolder)
    const { agent: running } = await agent.until(isWell)
    expect(running.pid).toBe(agent.pid)
  })

  it('refuses a key that others can read, and says how to mend that', async () => {
    await using site = await createAgentSite()
    const key = join(site.appliance.identityFolder, 'private.key')
    await chmod(key, 0o644)
    const agent = site.start()
    const { identity, credentials } = await agent.until(({ identity: { state } }) => state === 'unusable')
    expect(identity.lastError?.hint).toBe(`chmod g-w,o= ${key}`)
    await agent.until((status) => status.credentials[0]?.state === 'failing')
    expect(credentials[0]?.fetches).toBe(0)
    expect(site.cloud.requests.count()).toBe(0)
  })
})

describe('a faulty configuration', () => {
  it('ends the agent with exit code 78 and every faulty path at once', async () => {
    await using site = await createAgentSite()
    const faulty = {
      ...site.appliance.config,
      role: { alias: 'no spaces here' },
      cameras: { refreshSeconds: 1, streams: [{ name: 'dock-1' }] },
      artifact: [],
    }
    await writeFile(site.appliance.configFile, JSON.stringify(faulty))
    const agent = site.start()
    expect(await exitOf(agent)).toEqual({ code: 78, signal: null })
    for (const path of ['role.alias', 'cameras.refreshSeconds', 'cameras.streams[0].secretId', 'artifact']) {
      expect(agent.output).toContain(`  ${path}: `)
    }
  })

  it.each([
    ['is missing', undefined, 'is not there'],
    ['is not JSON', '{ "device": ', 'is not JSON'],
  ])('ends the agent with exit code 78 when the file %s', async (_, text, message) => {
    await using site = await createAgentSite()
    if (text === undefined) await rm(site.appliance.configFile)
    else await writeFile(site.appliance.configFile, text)
    const agent = site.start()
    expect(await exitOf(agent)).toEqual({ code: 78, signal: null })
    expect(agent.output).toContain(message)
  })
})

describe('a second agent on the same folders', () => {
  it('is refused with a hint, and the first goes on', async () => {
    await using site = await createAgentSite()
    await site.publish('a', 'content')
    site.setPassword('first')
    const first = site.start()
    await first.until(isWell)
    const second = site.start()
    expect(await exitOf(second)).toEqual({ code: 1, signal: null })
    expect(second.output).toMatch(/another agent works on[^]*hint: stop it/)
    expect((await first.status()).agent.pid).toBe(first.pid)
    await site.publish('b', 'more')
    await site.sync()
    expect((await first.status()).artifacts[0]?.files).toBe(2)
  })
})

describe('an agent that starts without network', () => {
  it('is ready, answers, and converges without a restart when the network comes', async () => {
    await using site = await createAgentSite()
    await site.publish('a', 'content')
    site.setPassword('first')
    await writeFile(join(site.appliance.logsFolder, 'app.log'), 'written offline\n')
    await site.cloud.unreachable()
    const agent = site.start()
    await agent.until(({ credentials }) => credentials[0]?.state === 'failing')
    await waitUntil('the agent is ready', () => agent.output.includes('agent is ready'))
    await site.cloud.reachable()
    const { agent: running, logs } = await agent.until(isWell)
    expect(running.pid).toBe(agent.pid)
    await waitUntil('the line arrived', () => arrivedMessages(site.cloud, logs.group, 'app').length === 1)
  })
})

describe('damaged state at the start', () => {
  it.each([
    ['cut short', '{"version":1,"cur'],
    ['empty', ''],
    ['of another version', '{"version":999}'],
    ['binary', '\0\xff\xfe'],
  ])('is set aside and everything works when it is %s', async (_, damaged) => {
    await using site = await createAgentSite()
    await site.publish('a', 'content')
    site.setPassword('first')
    await writeFile(join(site.appliance.logsFolder, 'app.log'), 'first line\n')
    const before = site.start()
    const { logs, artifacts } = await before.until(isWell)
    await waitUntil('the line arrived', () => arrivedMessages(site.cloud, logs.group, 'app').length === 1)
    await before.stop()
    const { stateFolder } = site.appliance
    const files = [
      join(stateFolder, 'clock.json'),
      join(stateFolder, 'logs', 'cursors.json'),
      join(site.artifactFolder, 'index.json'),
      join(site.artifactFolder, 'releases', `${artifacts[0]?.releaseId ?? ''}.json`),
    ]
    for (const file of [...files, site.cameraFile]) await writeFile(file, damaged)
    const after = site.start()
    await after.until(isWell)
    for (const file of files) expect(after.output).toContain(`is set aside path=${file} `)
    // the record is rebuilt, and the next clean-up of releases takes what was set aside
    for (const file of files.slice(0, 3))
      expect(await readFile(`${file}.unreadable`, 'latin1'), file).toBe(Buffer.from(damaged).toString('latin1'))
    expect(await readFile(join(site.artifactFolder, 'current', 'a'), 'utf8')).toBe('content')
    expect(JSON.parse(await readFile(site.cameraFile, 'utf8'))).toMatchObject({ password: 'first' })
    expect(await exitOf(await stopped(after))).toEqual({ code: 0, signal: null })
  })

  it('does not stop the agent when folders stand where files should be', async () => {
    await using site = await createAgentSite()
    await site.publish('a', 'content')
    site.setPassword('first')
    const { stateFolder } = site.appliance
    await mkdir(join(site.artifactFolder, 'index.json'), { recursive: true })
    await mkdir(join(stateFolder, 'logs', 'cursors.json'), { recursive: true })
    await mkdir(join(stateFolder, 'clock.json'), { recursive: true })
    await mkdir(site.cameraFile, { recursive: true })
    const agent = site.start()
    await agent.until(isWell)
    expect(await readFile(join(site.artifactFolder, 'current', 'a'), 'utf8')).toBe('content')
  })
})

async function stopped<T extends { readonly stop: () => Promise<unknown> }>(agent: T): Promise<T> {
  await agent.stop()
  return agent
}

function isWell({ credentials, artifacts, cameras }: StatusDocument): boolean {
  return [...credentials, ...artifacts, ...cameras].every(({ state }) => state === 'ok')
}
