import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { ConfigChange } from '../../../../agent/composition/configuration/config-changes.ts'
import { configFolderIn, openBase, readCopy } from '../../../../agent/config/base-document.ts'
import type { Config } from '../../../../agent/config/config-schema.ts'
import { ConfigError } from '../../../../agent/config/config-error.ts'
import { Configurations } from '../../../../agent/composition/configuration/configurations.ts'
import type { JsonObject } from '../../../../agent/lib/json-object.ts'
import { configDocument } from '../../../support/config-document.ts'
import { RecordingLog } from '../../../support/recording-log.ts'
import { tempFolder, type TempFolder } from '../../../support/temp-folder.ts'
import { FakeEvidence } from '../../../support/trial-evidence.ts'
import { until } from '../../../support/wait-until.ts'

const job = { jobId: 'job-1', executionNumber: 1 }
const faster = { patch: { logs: { flushSeconds: 5 } }, job } satisfies ConfigChange

/** What an agent does with its configurations, without the agent. */
class Appliance implements AsyncDisposable {
  readonly configurations: Configurations
  readonly log = new RecordingLog()
  readonly evidence = new FakeEvidence()
  reloads = 0

  private constructor(file: string, base: Awaited<ReturnType<typeof openBase>>) {
    const requestReload = (): void => {
      this.reloads += 1
    }
    this.configurations = new Configurations({ file, base, log: this.log, requestReload })
  }

  /** Starts it in a folder, as the process does. */
  static async start({ path }: TempFolder): Promise<{ readonly appliance: Appliance; readonly config: Config }> {
    const file = join(path, 'config.json')
    const base = await openBase(file, join(path, 'state'))
    const appliance = new Appliance(file, base)
    const config = await appliance.configurations.begin(base.config)
    appliance.configurations.running(config, appliance.evidence)
    return { appliance, config }
  }

  /** Takes what is in force into use. */
  async reload(): Promise<Config> {
    const config = await this.configurations.load()
    this.configurations.running(config, this.evidence)
    return config
  }

  /** SIGHUP. */
  async hangUp(): Promise<Config> {
    this.configurations.reloadBase()
    return await this.reload()
  }

  async confirm(): Promise<void> {
    this.evidence.give('credentials').give('control')
    await until(() => this.configurations.status().state === 'accepted')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.configurations[Symbol.asyncDispose]()
  }
}

async function appliance(base: JsonObject = {}): Promise<TempFolder> {
  const folder = await tempFolder()
  await mkdir(join(folder.path, 'state'))
  await writeBase(folder, base)
  return folder
}

async function writeBase({ path }: TempFolder, change: JsonObject): Promise<void> {
  const paths = { state: join(path, 'state'), runtime: join(path, 'run') }
  await writeFile(join(path, 'config.json'), JSON.stringify({ ...configDocument(), paths, ...change }))
}

/** Runs until its time is up on the clock of the trial. */
async function expire(seconds = 300): Promise<void> {
  await vi.advanceTimersByTimeAsync(seconds * 1_000)
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

describe('a change', () => {
  it('is on trial until it is confirmed, and stays after a restart', async () => {
    await using folder = await appliance()
    {
      const { appliance: first, config } = await Appliance.start(folder)
      await using _ = first
      expect(config.logs.flushSeconds).toBe(15)
      expect(await first.configurations.propose(faster)).toEqual({
        kind: 'trial',
        number: 1,
        diff: { changes: [{ path: 'logs.flushSeconds', from: 15, to: 5 }], omitted: 0 },
      })
      expect(first.reloads).toBe(1)
      expect(first.configurations.status()).toMatchObject({ version: 0, state: 'accepted' })
      expect(first.configurations.trialEndsMs()).toBeUndefined()
      const endsMs = performance.now() + 300_000
      expect((await first.reload()).logs.flushSeconds).toBe(5)
      expect(first.configurations.status()).toMatchObject({ version: 1, state: 'trial', job })
      expect(first.configurations.trialEndsMs()).toBe(endsMs)
      expect(first.configurations.outcomeOf(job)).toBe('running')
      expect(first.evidence.job).toEqual(job)
      await first.confirm()
      expect(first.configurations.trialEndsMs()).toBeUndefined()
      expect(first.configurations.outcomeOf(job)).toEqual({ accepted: true, number: 1 })
      await expire(10_000)
      expect(first.reloads).toBe(1)
    }
    const { appliance: second, config } = await Appliance.start(folder)
    await using _ = second
    expect(config.logs.flushSeconds).toBe(5)
    expect(second.configurations.status()).toMatchObject({ version: 1, state: 'accepted', faults: [] })
    expect(second.configurations.outcomeOf(job)).toEqual({ accepted: true, number: 1 })
  })

  it('is taken back when it is not confirmed, and the configuration before is loaded', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose({ ...faster, confirmSeconds: 30 })
    await agent.reload()
    agent.evidence.give('credentials')
    await expire(30)
    expect(agent.reloads).toBe(2)
    expect((await agent.reload()).logs.flushSeconds).toBe(15)
    expect(agent.configurations.status()).toMatchObject({ version: 0, state: 'accepted', faults: [] })
    await until(() => agent.configurations.outcomeOf(job) !== 'running')
    expect(agent.configurations.outcomeOf(job)).toMatchObject({
      reverted: true,
      reason: expect.stringContaining('not confirmed within 30 s') as string,
    })
  })

  it('is merged into the overlay that is there, or takes its place', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose(faster)
    await agent.reload()
    await agent.confirm()
    const merged = await agent.configurations.propose({ patch: { logs: { level: 'debug' } } })
    expect(merged).toMatchObject({ number: 2, diff: { changes: [{ path: 'logs.level' }] } })
    await agent.reload()
    await agent.confirm()
    expect((await agent.hangUp()).logs).toMatchObject({ flushSeconds: 5, level: 'debug' })
    await agent.configurations.propose({ patch: { logs: { level: 'warn' } }, replace: true })
    expect((await agent.reload()).logs).toMatchObject({ flushSeconds: 15, level: 'warn' })
  })

  it('is only told about in a dry run', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    const diff = { changes: [{ path: 'logs.flushSeconds', from: 15, to: 5 }], omitted: 0 }
    expect(agent.configurations.dryRun(faster)).toEqual({ kind: 'diff', diff })
    expect(agent.configurations.outcomeOf(job)).toBe(undefined)
    expect(agent.reloads).toBe(0)
  })

  it.each([
    ['of nothing', { patch: {} }, { kind: 'unchanged', version: 0 }],
    ['that expects another version', { ...faster, expectedVersion: 3 }, { kind: 'conflict', version: 0 }],
    ['that is no object', { patch: [1] }, { kind: 'invalid', faults: [{ path: '' }] }],
    ['that is at fault', { patch: { logs: { flushSeconds: 0 } } }, { faults: [{ path: 'logs.flushSeconds' }] }],
    ['of the paths', { patch: { paths: { state: '/' } } }, { faults: [{ path: 'paths' }] }],
    ['with no sensible time', { ...faster, confirmSeconds: 5 }, { faults: [{ path: 'confirmSeconds' }] }],
    ['that takes the control away', { patch: { endpoints: { mqtt: null } } }, { faults: [{ path: 'endpoints.mqtt' }] }],
  ] as const)('%s is refused, and nothing changes', async (_, change, expected) => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _agent = agent
    expect(agent.configurations.dryRun(change)).toMatchObject(expected)
    expect(await agent.configurations.propose(change)).toMatchObject(expected)
    expect(agent.reloads).toBe(0)
    expect(agent.configurations.status().version).toBe(0)
  })

  it('that does not merge into the overlay is refused with the way out', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose({ patch: { cameras: null } })
    await agent.reload()
    await agent.confirm()
    expect(agent.configurations.dryRun({ patch: { cameras: { refreshSeconds: 60 } } })).toEqual({
      kind: 'invalid',
      faults: [{ path: 'cameras.streams', message: expect.stringContaining('"replace"') as string }],
    })
  })

  it('waits for none that is on trial, but is a conflict', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    const two = [faster, { patch: { logs: { level: 'debug' as const } } }]
    expect(await Promise.all(two.map((change) => agent.configurations.propose(change)))).toMatchObject([
      { kind: 'trial', number: 1 },
      { kind: 'conflict', version: 1 },
    ])
  })

  it('is taken back when its job is abandoned, and no other', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose(faster)
    await agent.reload()
    agent.configurations.abandon({ ...job, executionNumber: 2 }, 'cancelled')
    expect(agent.reloads).toBe(1)
    agent.configurations.abandon(job, 'cancelled')
    expect((await agent.reload()).logs.flushSeconds).toBe(15)
    await until(() => agent.configurations.outcomeOf(job) !== 'running')
    expect(agent.configurations.outcomeOf(job)).toEqual({ reverted: true, number: 1, reason: 'cancelled' })
    expect(agent.evidence.waiting).toBe(0)
    agent.configurations.abandon(job, 'cancelled')
    expect(agent.reloads).toBe(2)
  })

  it('is made to what is in force, also while that is not in use yet again after a change was taken back', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose(faster)
    await agent.reload()
    agent.configurations.abandon(job, 'cancelled')
    const change = { patch: { logs: { level: 'debug' } }, expectedVersion: 0 }
    expect(await agent.configurations.propose(change)).toEqual({
      kind: 'trial',
      number: 2,
      diff: { changes: [{ path: 'logs.level', from: 'info', to: 'debug' }], omitted: 0 },
    })
    expect((await agent.reload()).logs).toMatchObject({ flushSeconds: 15, level: 'debug' })
  })

  it('that the disk does not take changes nothing', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    const state = join(folder.path, 'state')
    await until(async () => (await readCopy(join(folder.path, 'config.json'), state)) !== undefined) // or it comes later
    await rm(configFolderIn(state), { recursive: true })
    await expect(agent.configurations.propose(faster)).rejects.toMatchObject({ name: 'WriteError', retryable: true })
    expect(agent.reloads).toBe(0)
    expect((await agent.reload()).logs.flushSeconds).toBe(15)
  })
})

describe('a version on trial', () => {
  it('has its time anew after a restart, and is taken back at the third', async () => {
    await using folder = await appliance()
    {
      const { appliance: agent } = await Appliance.start(folder)
      await using _ = agent
      await agent.configurations.propose(faster)
      await agent.reload()
    }
    for (const flushSeconds of [5, 5, 15]) {
      const { appliance: agent, config } = await Appliance.start(folder)
      await using _ = agent
      expect(config.logs.flushSeconds).toBe(flushSeconds)
    }
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    expect(agent.configurations.outcomeOf(job)).toEqual({
      reverted: true,
      number: 1,
      reason: 'the process ended 3 times while it was on trial',
    })
  })

  it('can be confirmed after a restart', async () => {
    await using folder = await appliance()
    {
      const { appliance: agent } = await Appliance.start(folder)
      await using _ = agent
      await agent.configurations.propose(faster)
    }
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    expect(agent.configurations.status()).toMatchObject({ version: 1, state: 'trial' })
    await agent.confirm()
    expect(agent.configurations.outcomeOf(job)).toEqual({ accepted: true, number: 1 })
  })

  it('is taken back when it cannot be started', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose(faster)
    await agent.configurations.load()
    expect(agent.configurations.startFailed(new Error('boom'))?.logs.flushSeconds).toBe(15)
    await until(() => agent.configurations.outcomeOf(job) !== 'running')
    expect(agent.configurations.outcomeOf(job)).toMatchObject({ reason: 'it could not be started: boom' })
  })

  it('that was taken back is not stayed with, where the one before cannot be started at first', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose(faster)
    await agent.reload()
    await expire()
    expect((await agent.configurations.load()).logs.flushSeconds).toBe(15)
    expect(agent.configurations.startFailed(new Error('boom'))).toBe(undefined)
    expect(agent.reloads).toBe(2)
    await expire(59)
    expect(agent.reloads).toBe(2)
    await expire(1)
    expect(agent.reloads).toBe(3)
    expect((await agent.reload()).logs.flushSeconds).toBe(15)
    expect(agent.configurations.status()).toMatchObject({ version: 0, state: 'accepted' })
  })

  it('is confirmed by a session that begins with it after a reload that changed nothing', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose(faster)
    const config = await agent.reload()
    await agent.hangUp()
    const evidence = new FakeEvidence().give('credentials').give('control')
    agent.configurations.running(config, evidence) // as the generations go on with the one that they have
    await until(() => agent.configurations.status().state === 'accepted')
  })

  it('stays where it was accepted while a session of a changed base file could not be started', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose(faster)
    await agent.reload()
    await writeBase(folder, { role: { alias: 'other' } })
    agent.configurations.reloadBase()
    await agent.configurations.load()
    await agent.confirm()
    expect(agent.configurations.startFailed(new Error('boom'))).toBe(undefined)
    expect(agent.configurations.outcomeOf(job)).toEqual({ accepted: true, number: 1 })
    expect(await agent.reload()).toMatchObject({ role: { alias: 'panorama-appliance' }, logs: { flushSeconds: 5 } })
  })

  it('goes on with a base file that changes meanwhile, and says so', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose(faster)
    await agent.reload()
    await writeBase(folder, { cameras: { refreshSeconds: 60 } })
    expect(await agent.hangUp()).toMatchObject({ logs: { flushSeconds: 5 }, cameras: { refreshSeconds: 60 } })
    expect(agent.log.messages('info')).toContain('the trial goes on with the base file as it is now')
    await agent.confirm()
  })

  it('is taken back when it does not fit a base file that changes meanwhile', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose({ patch: { endpoints: { fips: true } }, job })
    await agent.reload()
    const { endpoints } = configDocument()
    await writeBase(folder, { endpoints: { ...endpoints, s3: 'https://s3.example' } })
    expect((await agent.hangUp()).endpoints.fips).toBe(false)
    expect(agent.configurations.status()).toMatchObject({ version: 0, state: 'accepted' })
    await until(() => agent.configurations.outcomeOf(job) !== 'running')
    expect(agent.configurations.outcomeOf(job)).toMatchObject({
      reason: expect.stringContaining('it does not fit the base file: endpoints.s3') as string,
    })
  })
})

describe('the base file', () => {
  it('is read anew at a reload, and not for a change from afar', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await writeBase(folder, { cameras: { refreshSeconds: 60 } })
    await agent.configurations.propose(faster)
    expect(await agent.reload()).toMatchObject({ logs: { flushSeconds: 5 }, cameras: { refreshSeconds: 300 } })
    await agent.confirm()
    expect(await agent.hangUp()).toMatchObject({ logs: { flushSeconds: 5 }, cameras: { refreshSeconds: 60 } })
  })

  it('that is at fault at a reload changes nothing, but holds up no change from afar', async () => {
    await using folder = await appliance()
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await writeFile(join(folder.path, 'config.json'), '{')
    await expect(agent.hangUp()).rejects.toThrow(ConfigError)
    expect((await agent.reload()).logs.flushSeconds).toBe(15)
    const fault = { path: '', message: expect.stringMatching(/is not JSON.*\(in .*config.json\)/s) as string }
    expect(agent.configurations.status()).toMatchObject({ version: 0, state: 'fallback', faults: [fault] })
    await agent.configurations.propose(faster)
    expect((await agent.hangUp()).logs.flushSeconds).toBe(5)
    expect(agent.configurations.status()).toMatchObject({ version: 1, state: 'trial', faults: [fault] })
    expect(agent.log.messages('error')).toEqual(['the changed base file is at fault: the one in use stays'])
    await writeBase(folder, {})
    await agent.hangUp()
    expect(agent.configurations.status()).toMatchObject({ version: 1, state: 'trial', faults: [] })
  })

  it('that is at fault at the start gives way to the copy of the one in use last, with the overlay', async () => {
    await using folder = await appliance({ cameras: { refreshSeconds: 77 } })
    {
      const { appliance: agent } = await Appliance.start(folder)
      await using _ = agent
      await agent.configurations.propose(faster)
      await agent.reload()
      await agent.confirm()
    }
    await writeBase(folder, { role: {} })
    const { appliance: agent, config } = await Appliance.start(folder)
    await using _ = agent
    expect(config).toMatchObject({ logs: { flushSeconds: 5 }, cameras: { refreshSeconds: 77 } })
    expect(agent.configurations.status()).toMatchObject({
      version: 1,
      state: 'fallback',
      faults: [{ path: 'role.alias', message: `is missing (in ${join(folder.path, 'config.json')})` }],
    })
    await writeBase(folder, {})
    expect((await agent.hangUp()).cameras.refreshSeconds).toBe(300)
    expect(agent.configurations.status()).toMatchObject({ version: 1, state: 'accepted', faults: [] })
  })

  it('that is at fault at the start, and was never in use, is a configuration error', async () => {
    await using folder = await appliance({ role: {} })
    await expect(Appliance.start(folder)).rejects.toThrow(ConfigError)
  })

  it('is not replaced by the copy of another file', async () => {
    await using folder = await appliance()
    {
      const { appliance: agent } = await Appliance.start(folder)
      await using _ = agent
    }
    const other = join(folder.path, 'other.json')
    await writeFile(other, '{')
    await expect(openBase(other, join(folder.path, 'state'))).rejects.toThrow(ConfigError)
    await writeFile(join(folder.path, 'config.json'), '{')
    expect((await openBase(join(folder.path, 'config.json'), join(folder.path, 'state'))).fault).toBeInstanceOf(
      ConfigError,
    )
  })

  it('is copied again only when it changed', async () => {
    await using folder = await appliance()
    const copy = join(configFolderIn(join(folder.path, 'state')), 'base.json')
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await until(async () => (await readFile(copy, 'utf8').catch(() => '')) !== '')
    await writeFile(copy, 'touched')
    await agent.hangUp()
    await agent.configurations.propose({ patch: {} }) // waits for its turn
    await writeBase(folder, { cameras: { refreshSeconds: 60 } })
    expect(await readFile(copy, 'utf8')).toBe('touched')
    await agent.hangUp()
    await until(async () => (await readFile(copy, 'utf8')).includes('"refreshSeconds":60'))
  })
})

describe('an accepted version', () => {
  async function acceptedTwo(folder: TempFolder): Promise<void> {
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    for (const patch of [{ logs: { flushSeconds: 5 } }, { endpoints: { fips: true } }]) {
      await agent.configurations.propose({ patch })
      await agent.reload()
      await agent.confirm()
    }
  }

  it('that does not fit the base file any more gives way to the one before, and comes back with one that it fits', async () => {
    await using folder = await appliance()
    await acceptedTwo(folder)
    await writeBase(folder, { endpoints: { ...configDocument().endpoints, s3: 'https://s3.example' } })
    const { appliance: agent, config } = await Appliance.start(folder)
    await using _ = agent
    expect(config).toMatchObject({ logs: { flushSeconds: 5 }, endpoints: { fips: false } })
    const [fault, ...others] = agent.configurations.status().faults
    expect(fault).toEqual({ path: 'endpoints.s3', message: expect.stringContaining('(from') as string })
    expect(others).toEqual([])
    expect(agent.configurations.status()).toMatchObject({ version: 1, state: 'fallback' })
    await writeBase(folder, {})
    expect((await agent.hangUp()).endpoints.fips).toBe(true)
    expect(agent.configurations.status()).toMatchObject({ version: 2, state: 'accepted' })
  })

  it('is composed with what is in use while a newer one does not fit', async () => {
    await using folder = await appliance()
    await acceptedTwo(folder)
    await writeBase(folder, { endpoints: { ...configDocument().endpoints, s3: 'https://s3.example' } })
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    expect(await agent.configurations.propose({ patch: { logs: { level: 'warn' } }, expectedVersion: 2 })).toEqual({
      kind: 'conflict',
      version: 1,
    })
    await agent.configurations.propose({ patch: { logs: { level: 'warn' } }, expectedVersion: 1 })
    expect((await agent.reload()).logs).toMatchObject({ flushSeconds: 5, level: 'warn' })
    await agent.confirm()
    expect(agent.configurations.status()).toMatchObject({ version: 3, state: 'accepted', faults: [] })
  })

  it('that cannot be started at the start of the process gives way to the one before, down to the base file', async () => {
    await using folder = await appliance()
    await acceptedTwo(folder)
    const file = join(folder.path, 'config.json')
    const base = await openBase(file, '/nowhere')
    const options = { file, base, log: new RecordingLog(), requestReload: () => undefined }
    await using configurations = new Configurations(options)
    await configurations.begin(base.config)
    expect(configurations.status().version).toBe(2)
    const first = configurations.startFailed(new Error('boom'))
    expect([first?.logs.flushSeconds, first?.endpoints.fips]).toEqual([5, false])
    expect(configurations.startFailed(new Error('boom'))?.logs.flushSeconds).toBe(15)
    expect(configurations.startFailed(new Error('boom'))).toBe(undefined)
    expect(configurations.status().faults).toHaveLength(2)
  })

  it('is not given up for a base file that cannot be started', async () => {
    await using folder = await appliance()
    await acceptedTwo(folder)
    const { appliance: agent } = await Appliance.start(folder)
    await using _ = agent
    await writeBase(folder, { role: { alias: 'other' } })
    agent.configurations.reloadBase()
    await agent.configurations.load()
    expect(agent.configurations.startFailed(new Error('boom'))).toBe(undefined)
    const { reloads } = agent
    await expire()
    expect(agent.reloads).toBe(reloads)
    expect(await agent.reload()).toMatchObject({ role: { alias: 'panorama-appliance' }, endpoints: { fips: true } })
    const message = `what ${join(folder.path, 'config.json')} says could not be started: boom`
    expect(agent.configurations.status()).toMatchObject({ version: 2, state: 'fallback', faults: [{ message }] })
    await writeBase(folder, {})
    await agent.hangUp()
    expect(agent.configurations.status()).toMatchObject({ version: 2, state: 'accepted', faults: [] })
  })
})

describe('another state folder', () => {
  it('has versions of its own, and the first ones are there when it is gone back to', async () => {
    await using folder = await appliance()
    const { appliance: agent, config } = await Appliance.start(folder)
    await using _ = agent
    await agent.configurations.propose(faster)
    await agent.reload()
    await agent.confirm()
    const elsewhere = join(folder.path, 'elsewhere')
    await mkdir(elsewhere)
    await writeBase(folder, { paths: { state: elsewhere, runtime: join(folder.path, 'run') } })
    const moved = await agent.hangUp()
    expect(moved.logs.flushSeconds).toBe(15)
    expect((await agent.configurations.begin(moved)).logs.flushSeconds).toBe(15)
    agent.configurations.running(moved, agent.evidence)
    expect(agent.configurations.status()).toMatchObject({ version: 0, state: 'accepted' })
    await writeBase(folder, {})
    const back = await agent.hangUp()
    expect((await agent.configurations.begin(back)).logs.flushSeconds).toBe(5)
    expect(config.paths.state).not.toBe(elsewhere)
  })
})
