import { access, chmod, mkdir, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { beforeAll, describe, expect, test } from 'vitest'

import { reset, type ResetOptions } from '../../agent/commands/reset.ts'
import { run } from '../../agent/commands/run.ts'
import { lockFile } from '../../agent/lib/file-lock.ts'
import { lockState } from '../../agent/composition/session/state-folders.ts'
import { agentCommand } from '../support/agent-process.ts'
import { authorityExtensions, makeCertificate, type TestCertificate } from '../support/certificates.ts'
import { configDocument } from '../support/config-document.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const made: TestCertificate[] = []

beforeAll(async () => {
  for (const commonName of ['one', 'other'])
    made.push(await makeCertificate({ commonName, extensions: authorityExtensions() }))
  const dates = { notBefore: new Date('2026-01-01'), notAfter: new Date('2026-01-02T00:00:00Z') }
  made.push(await makeCertificate({ commonName: 'ended', extensions: authorityExtensions(), ...dates }))
})

interface Bench extends AsyncDisposable {
  readonly folder: string
  readonly state: string
  readonly claim: string
  readonly configFile: string
  /** Puts a certificate and a key, each of a number, into a folder. */
  readonly putPair: (folder: string, certificate?: number, key?: number) => Promise<void>
  /** Has the configuration name an identity in a folder. */
  readonly nameSeed: (folder: string) => Promise<void>
  /** What it prints. */
  readonly reset: (options?: Partial<ResetOptions>) => Promise<string>
}

async function bench(): Promise<Bench> {
  const owned = await tempFolder()
  const folder = owned.path
  const state = join(folder, 'state')
  const claim = join(folder, 'claim')
  const configFile = join(folder, 'config.json')
  const { device, endpoints, role } = configDocument()
  const provisioning = {
    claimCertificate: join(claim, 'certificate.pem'),
    claimPrivateKey: join(claim, 'private.key'),
  }
  const identity = { rootCa: join(folder, 'root-ca.pem') }
  const paths = { state, runtime: join(folder, 'run') }
  const base = { device: { region: device['region'] }, identity, endpoints, role, provisioning, paths }
  await writeFile(identity.rootCa, made[0]?.pem ?? '')
  await writeFile(configFile, JSON.stringify(base))
  for (const name of ['state/identity/versions/a1', 'claim', 'run'])
    await mkdir(join(folder, name), { recursive: true })
  await writeFile(join(state, 'identity', 'versions', 'a1', 'private.key'), 'x')
  return {
    folder,
    state,
    claim,
    configFile,
    nameSeed: async (seed) => {
      const named = { certificate: join(seed, 'certificate.pem'), privateKey: join(seed, 'private.key') }
      const device = { ...base.device, thingName: 'dock-1' }
      await writeFile(configFile, JSON.stringify({ ...base, device, identity: { ...identity, ...named } }))
    },
    putPair: async (into, certificate = 0, key = certificate) => {
      await mkdir(into, { recursive: true })
      await writeFile(join(into, 'certificate.pem'), made[certificate]?.pem ?? '')
      await writeFile(join(into, 'private.key'), made[key]?.privateKey ?? '', { mode: 0o600 })
    },
    reset: async (options = {}) => {
      const stdout = new PassThrough({ encoding: 'utf8' })
      const streams = { stdout, stderr: stdout }
      const context = { ...streams, signal: new AbortController().signal, service: {}, onHangup: () => undefined }
      const done = reset({ configFile, yes: true, decommission: false, ...options }, context)
      const error: unknown = await done.then(
        () => undefined,
        (fault: unknown) => fault,
      )
      const text = String(stdout.read() ?? '')
      if (error instanceof Error) throw Object.assign(error, { message: `${text}${error.message}` })
      return text
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}

async function isThere(...path: readonly string[]): Promise<boolean> {
  return await access(join(...path)).then(
    () => true,
    () => false,
  )
}

describe('panorama-agent reset', () => {
  test('without --yes says what it would wipe, wipes nothing, and fails', async () => {
    await using site = await bench()
    await site.putPair(site.claim)
    await expect(site.reset({ yes: false })).rejects.toThrow(/state: would wipe identity\n.*run: nothing to wipe\n/)
    await expect(site.reset({ yes: false, decommission: true })).rejects.toThrow('claim/private.key\n')
    expect(await isThere(site.state, 'identity', 'versions', 'a1', 'private.key')).toBe(true)
  })

  test('refuses where there is no way back, and names what it looked for', async () => {
    await using site = await bench()
    const refused = await site.reset({ archive: join(site.folder, 'none.zip') }).catch(String)
    const { claim } = site
    expect(refused).toContain('the archive ' + join(site.folder, 'none.zip') + ': ')
    expect(refused).toContain(`the claim ${claim}/certificate.pem with ${claim}/private.key: ${claim}/private.key `)
    expect(refused).toContain('the configuration names no identity.certificate')
    await site.putPair(claim, 0, 1)
    await expect(site.reset()).rejects.toThrow('private.key is not the key of')
    await expect(site.reset()).rejects.toMatchObject({ name: 'UsageError' })
    expect(await isThere(site.state, 'identity', 'versions')).toBe(true)
    expect(await isThere(site.state, 'reset.json')).toBe(false)
  })

  test('takes an identity that the configuration names for a way back, and then no claim, nor what is wiped', async () => {
    await using site = await bench()
    await site.putPair(site.claim)
    const seed = join(site.folder, 'seed')
    await site.nameSeed(seed)
    await expect(site.reset()).rejects.toThrow('private.key: it is not used, because')
    await site.putPair(join(site.state, 'identity', 'current'))
    await site.nameSeed(join(site.state, 'identity', 'current'))
    await expect(site.reset()).rejects.toThrow('lies in what is wiped')
    await site.nameSeed(seed)
    await site.putPair(seed)
    await writeFile(join(site.state, 'notes.txt'), 'x')
    const rotated = { version: 1, thingName: 'dock-1', certificateId: 'a1', obtainedBy: 'rotation' }
    const record = JSON.stringify({ ...rotated, at: '2026-11-28T00:00:00.000Z' })
    await writeFile(join(site.state, 'identity', 'current', 'identity.json'), record)
    await expect(site.reset()).rejects.toThrow('the appliance has had certificate a1 since, so that this one is to be')
    await rm(join(site.state, 'identity', 'current'), { recursive: true })
    const said = await site.reset()
    expect(said).toContain(`next: the agent uses the identity ${seed}/certificate.pem\n`)
    expect(said).toContain(`does not keep it: ${site.state}: notes.txt`)
    expect((await readdir(site.state)).toSorted()).toEqual(['lock', 'notes.txt'])
  })

  test('takes an archive with an identity for a way back, but not from what is wiped', async () => {
    await using site = await bench()
    const inside = join(site.state, 'artifacts', 'stick')
    await site.putPair(inside)
    await expect(site.reset({ archive: inside })).rejects.toThrow('it lies in what is wiped')
    const stick = join(site.folder, 'stick')
    await site.putPair(stick, 0, 1)
    await expect(site.reset({ archive: stick })).rejects.toThrow(
      'it holds neither certificate.pem with its private.key',
    )
    await site.putPair(stick)
    await expect(site.reset({ archive: stick })).rejects.toThrow('stick: the thing of the certificate is not named')
    await writeFile(join(stick, 'thing-name'), 'dock-1\n')
    await site.putPair(stick, 2)
    await expect(site.reset({ archive: stick })).rejects.toThrow('stick: the certificate ended at 2026-01-02T')
    await site.putPair(stick)
    expect(await site.reset({ archive: stick })).toContain(`next: panorama-agent provision --archive ${stick}`)
    expect(await isThere(site.state, 'identity')).toBe(false)
  })

  test('takes no archive for a way back whose claim would not be used', async () => {
    await using site = await bench()
    await site.putPair(site.claim)
    const stick = join(site.folder, 'stick')
    await site.putPair(stick)
    for (const name of ['certificate.pem', 'private.key']) await rename(join(stick, name), join(stick, `claim-${name}`))
    await site.nameSeed(join(site.folder, 'seed'))
    await expect(site.reset({ archive: stick })).rejects.toThrow(
      'its claim is not used, because the configuration names',
    )
    await writeFile(join(stick, 'config.json'), '{')
    await expect(site.reset({ archive: stick })).rejects.toThrow(/stick: its config.json has 1 fault:\n.*is not JSON/)
    expect(await isThere(site.state, 'identity', 'versions')).toBe(true)
  })

  test('wipes nothing where the archive that is named is of no use, whatever other way back there is', async () => {
    await using site = await bench()
    await site.putPair(site.claim)
    const error = await site.reset({ archive: join(site.folder, 'nope') }).catch((fault: unknown) => fault)
    expect(error).toMatchObject({
      name: 'UsageError',
      message: `nothing is wiped: the archive ${site.folder}/nope: ${site.folder}/nope cannot be read (ENOENT)`,
      hint: expect.stringContaining('or leave it out') as string,
    })
    expect(await isThere(site.state, 'identity', 'versions')).toBe(true)
    expect(await isThere(site.state, 'reset.json')).toBe(false)
  })

  test('refuses while an agent runs, and says how to stop it', async () => {
    await using site = await bench()
    await site.putPair(site.claim)
    const lock = await lockFile(join(site.state, 'lock'))
    await using _ = lock === 'taken' ? undefined : lock
    const hint = 'stop it first: systemctl stop panorama-agent'
    for (const decommission of [true, false]) await expect(site.reset({ decommission })).rejects.toMatchObject({ hint })
    expect(await isThere(site.claim, 'private.key')).toBe(true)
  })

  test('with --decommission needs no way back, and leaves neither claim nor seed', async () => {
    await using site = await bench()
    const seed = join(site.folder, 'seed')
    await site.nameSeed(seed)
    for (const folder of [site.claim, seed]) await site.putPair(folder)
    expect(await site.reset({ decommission: true })).toContain('the appliance is decommissioned')
    for (const folder of [site.claim, seed]) expect(await readdir(folder)).toEqual([])
    expect(await readdir(site.state)).toEqual(['lock'])
  })
})

describe.skipIf(process.getuid?.() !== 0)('panorama-agent reset of root', () => {
  test('works in the state folder as its owner, and removes what only root can', async () => {
    await using site = await bench()
    const seed = join(site.folder, 'seed')
    await site.nameSeed(seed)
    await site.putPair(seed)
    await chmod(seed, 0o700)
    await chmod(site.folder, 0o711)
    const run = join(site.folder, 'run')
    await runCommand('chown', ['-R', '65534:65534', site.state, run])
    await writeFile(join(site.folder, 'precious'), 'x')
    await symlink(join(site.folder, 'precious'), join(run, 'cameras')) // root would follow a link of the agent's
    const [node = '', ...args] = agentCommand
    const { stdout } = await runCommand(node, [
      ...args,
      'reset',
      '--yes',
      '--decommission',
      '--config',
      site.configFile,
    ])
    expect(stdout).toContain('the appliance is decommissioned')
    expect(await readdir(seed)).toEqual([])
    expect(await readdir(site.state)).toEqual(['lock'])
    expect((await stat(join(site.state, 'lock'))).uid).toBe(65_534)
    expect(await isThere(site.folder, 'precious')).toBe(true)
  })
})

describe('an agent that finds a reset which is not finished', () => {
  test('does not start while files of a decommissioned appliance hold an identity', async () => {
    await using site = await bench()
    const key = join(site.claim, 'private.key')
    await mkdir(join(key, 'a-folder'), { recursive: true }) // cannot be removed, not even by root
    const said = await site.reset({ decommission: true }).catch(String)
    expect(said).toContain(`files with an identity remain: ${key} (is a folder)`)
    const stdout = new PassThrough()
    const streams = { stdout, stderr: stdout }
    const context = { ...streams, signal: new AbortController().signal, service: {}, onHangup: () => undefined }
    const { configFile } = site
    await expect(run({ configFile }, context)).rejects.toMatchObject({ name: 'DecommissionedError' })
    await rm(key, { recursive: true })
    expect(await site.reset({ decommission: true })).toContain('the appliance is decommissioned')
  })

  test('takes nothing up in that folder, whoever has written the mark meanwhile', async () => {
    await using site = await bench()
    await writeFile(join(site.state, 'reset.json'), '{}')
    const log = new RecordingLog()
    await expect(lockState(site.state, log)).rejects.toThrow('is not finished')
    await rm(join(site.state, 'reset.json'))
    await using lock = await lockState(site.state, log)
    expect(lock).toBeDefined()
  })
})
