import { X509Certificate } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { beforeAll, describe, expect, test } from 'vitest'

import type { CommandContext } from '../../agent/commands/command-context.ts'
import { doctor } from '../../agent/commands/doctor.ts'
import { provision } from '../../agent/commands/provision.ts'
import type { ProvisionOptions } from '../../agent/commands/provisioning-input.ts'
import { readBase, readUnprovisioned } from '../../agent/config/base-document.ts'
import { reportError } from '../../agent/lib/errors.ts'
import { lockFile } from '../../agent/lib/file-lock.ts'
import { authorityExtensions, makeCertificate, type TestCertificate } from '../support/certificates.ts'
import { configDocument } from '../support/config-document.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProvisioningSite } from '../support/provisioning-site.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const noZip = await whyNoZip()
if (noZip !== undefined) console.log(`the tests of .zip archives are left out: ${noZip}`)

const made: TestCertificate[] = []

beforeAll(async () => {
  for (const commonName of ['one', 'other'])
    made.push(await makeCertificate({ commonName, extensions: authorityExtensions() }))
})

interface Bench extends AsyncDisposable {
  readonly folder: string
  readonly configFile: string
  readonly claimFolder: string
  /** Puts files into a folder, and answers with its path. */
  readonly stick: (files: Readonly<Record<string, string>>) => Promise<string>
  readonly provision: (options: Partial<ProvisionOptions>) => Promise<string>
}

function contextWith(stdout: PassThrough): CommandContext {
  const stderr = new PassThrough({ encoding: 'utf8' })
  return { signal: new AbortController().signal, stdout, stderr, service: {}, onHangup: () => undefined }
}

async function bench(): Promise<Bench> {
  const owned = await tempFolder()
  const folder = owned.path
  const configFile = join(folder, 'config.json')
  const claimFolder = join(folder, 'claim')
  for (const name of ['state', 'claim', 'stick']) await mkdir(join(folder, name))
  const { device, endpoints, role } = configDocument()
  const document = {
    device: { region: device['region'] },
    identity: { rootCa: join(folder, 'root-ca.pem') },
    endpoints,
    role,
    provisioning: {
      claimCertificate: join(claimFolder, 'certificate.pem'),
      claimPrivateKey: join(claimFolder, 'private.key'),
    },
    paths: { state: join(folder, 'state'), runtime: join(folder, 'run') },
  }
  await writeFile(configFile, JSON.stringify(document))
  return {
    folder,
    configFile,
    claimFolder,
    stick: async (files) => {
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, 'stick', name), text)
      return join(folder, 'stick')
    },
    provision: async (options) => {
      const stdout = new PassThrough({ encoding: 'utf8' })
      await provision({ configFile, ...options }, contextWith(stdout))
      return String(stdout.read())
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}

function filesOf(index: number): Record<'certificate.pem' | 'private.key', string> {
  const found = made[index]
  if (found === undefined) throw new Error('no certificate')
  return { 'certificate.pem': found.pem, 'private.key': found.privateKey }
}

describe('panorama-agent provision', () => {
  test('takes certificate and key from files, for a thing that is named', async () => {
    await using site = await bench()
    const stick = await site.stick(filesOf(0))
    const files = { certificate: join(stick, 'certificate.pem'), privateKey: join(stick, 'private.key') }
    await expect(site.provision(files)).rejects.toThrow('the thing of the certificate is not named')
    expect(await site.provision({ ...files, thingName: 'dock-1' })).toContain('dock-1 has certificate ')
    expect((await readBase(site.configFile)).config.device.thingName).toBe('dock-1')
    const key = join(site.folder, 'state', 'identity', 'current', 'private.key')
    expect((await stat(key)).mode & 0o777).toBe(0o600)
    await site.provision({ ...files, thingName: 'dock-2' })
    expect((await readBase(site.configFile)).config.device.thingName).toBe('dock-2')
  })

  test('lists the certificate that it takes the place of, which nobody uses any more', async () => {
    await using site = await bench()
    const said: string[] = []
    for (const index of [0, 1, 0]) {
      const archive = await site.stick(filesOf(index))
      said.push(await site.provision({ archive, thingName: 'dock-1', replace: true }))
    }
    const list = await readFile(join(site.folder, 'state', 'identity', 'left-over.json'), 'utf8')
    const ids = made.map(({ pem }) => new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase())
    expect(said[1]).toContain(`deactivate certificate ${ids[0] ?? ''} of dock-1 in AWS IoT`)
    expect(JSON.parse(list)).toMatchObject({ certificates: [{ certificateId: ids[1], why: 'deactivate' }] })
  })

  test('takes no certificate with the key of another, and changes nothing', async () => {
    await using site = await bench()
    const stick = await site.stick({ ...filesOf(0), 'private.key': filesOf(1)['private.key'] })
    await expect(site.provision({ archive: stick, thingName: 'dock-1' })).rejects.toThrow(
      'private.key in ' + stick + ' is not the key of certificate.pem in ' + stick,
    )
    expect(await readUnprovisioned(site.configFile)).toBeDefined()
  })

  test('takes what a folder holds, the configuration included, and keeps the one before', async () => {
    await using site = await bench()
    const before = await readFile(site.configFile, 'utf8')
    const changed = before.replace('us-west-2', 'eu-west-1')
    const stick = await site.stick({
      ...filesOf(0),
      'thing-name': 'dock-1\n',
      'config.json': changed,
      'other.txt': 'x',
    })
    await site.provision({ archive: stick })
    expect((await readBase(site.configFile)).config.device).toMatchObject({ thingName: 'dock-1', region: 'eu-west-1' })
    expect(await readFile(`${site.configFile}.before`, 'utf8')).toBe(before)
  })

  test('takes no configuration that is at fault', async () => {
    await using site = await bench()
    const stick = await site.stick({ ...filesOf(0), 'thing-name': 'dock-1', 'config.json': '{}' })
    await expect(site.provision({ archive: stick })).rejects.toThrow('config.json in the archive has')
    expect(await readUnprovisioned(site.configFile)).toBeDefined()
  })

  test.each(['.tar.gz', '.tgz'])('takes a claim from a %s', async (ending) => {
    await using site = await bench()
    const { 'certificate.pem': certificate, 'private.key': key } = filesOf(0)
    const stick = await site.stick({ 'claim-certificate.pem': certificate, 'claim-private.key': key })
    const archive = join(site.folder, `archive${ending}`)
    await runCommand('tar', ['--create', '--gzip', '--file', archive, '--directory', stick, '.'])
    await site.provision({ archive })
    expect(await readFile(join(site.claimFolder, 'private.key'), 'utf8')).toBe(key)
    expect((await stat(join(site.claimFolder, 'private.key'))).mode & 0o777).toBe(0o600)
  })

  test.skipIf(noZip !== undefined)(
    'takes a device certificate from a .zip, whatever folder it lies in there',
    async () => {
      await using site = await bench()
      const stick = await site.stick({ ...filesOf(0), 'thing-name': 'dock-1' })
      const archive = join(site.folder, 'archive.zip')
      await runCommand('/usr/bin/python3', ['-m', 'zipfile', '--create', archive, stick])
      await site.provision({ archive })
      expect(await readUnprovisioned(site.configFile)).toBeUndefined()
      expect((await readBase(site.configFile)).config.device.thingName).toBe('dock-1')
    },
  )

  test.skipIf(noZip !== undefined)('says of a .zip that is none what unzip says', async () => {
    await using site = await bench()
    const archive = join(site.folder, 'archive.zip')
    await writeFile(archive, 'no archive')
    await expect(site.provision({ archive })).rejects.toMatchObject({
      message: 'the archive cannot be read',
      hint: 'see what unzip says of it',
    })
  })

  test('looks at no member of an archive that is somewhere else', async () => {
    await using site = await bench()
    await site.stick(filesOf(0))
    await writeFile(join(site.folder, 'thing-name'), 'evil')
    const archive = join(site.folder, 'archive.tar.gz')
    const tar = ['--create', '--gzip', '--absolute-names', '--file', archive, '--directory', join(site.folder, 'stick')]
    await runCommand('tar', [...tar, '../thing-name', join(site.folder, 'stick', 'certificate.pem')])
    await expect(site.provision({ archive })).rejects.toThrow('there is nothing to provision with')
  })

  test('follows no link in a folder, and waits for no pipe', async () => {
    await using site = await bench()
    const stick = await site.stick(filesOf(0))
    const secret = join(site.folder, 'secret')
    await writeFile(secret, 'what only root may read')
    await symlink(secret, join(stick, 'thing-name'))
    await expect(site.provision({ archive: stick })).rejects.toThrow('thing-name is a link')
    await rm(join(stick, 'thing-name'))
    await runCommand('mkfifo', [join(stick, 'thing-name')])
    await expect(site.provision({ archive: stick })).rejects.toThrow('thing-name is no file')
  })

  test.each([
    ['an agent runs', { 'thing-name': 'dock-1' }, 'another agent works on'],
    ['the thing is not named', {}, 'the thing of the certificate is not named'],
  ])('leaves the configuration as it is where %s', async (_, files, message) => {
    await using site = await bench()
    const before = await readFile(site.configFile, 'utf8')
    const stick = await site.stick({ ...filesOf(0), ...files, 'config.json': before.replace('us-west-2', 'eu-west-1') })
    const lock = message.startsWith('another') ? await lockFile(join(site.folder, 'state', 'lock')) : undefined
    await using __ = lock === 'taken' ? undefined : lock
    await expect(site.provision({ archive: stick })).rejects.toThrow(message)
    expect(await readFile(site.configFile, 'utf8')).toBe(before)
  })

  test('refuses while an agent runs, and what is not there', async () => {
    await using site = await bench()
    const stick = await site.stick({ ...filesOf(0), 'thing-name': 'dock-1' })
    await expect(site.provision({})).rejects.toThrow('there is nothing to provision with')
    await expect(site.provision({ archive: join(site.folder, 'none.zip') })).rejects.toThrow('cannot be read (ENOENT)')
    const lock = await lockFile(join(site.folder, 'state', 'lock'))
    await using _ = lock === 'taken' ? undefined : lock
    await expect(site.provision({ archive: stick })).rejects.toThrow('another agent works on')
  })
})

describe('panorama-agent provision, where something is there already', () => {
  const idOf = (index: number): string =>
    new X509Certificate(made[index]?.pem ?? '').fingerprint256.replaceAll(':', '').toLowerCase()

  test('replaces no identity unasked, and names the one that is there', async () => {
    await using site = await bench()
    await site.provision({ archive: await site.stick(filesOf(0)), thingName: 'dock-1' })
    const archive = await site.stick(filesOf(1))
    await expect(site.provision({ archive, thingName: 'dock-2' })).rejects.toMatchObject({
      name: 'UsageError',
      message: `this appliance has an identity already: dock-1 with certificate ${idOf(0)}`,
      hint: expect.stringContaining('--replace') as string,
    })
    expect((await readBase(site.configFile)).config.device.thingName).toBe('dock-1')
    const key = join(site.folder, 'state', 'identity', 'current', 'private.key')
    expect(await readFile(key, 'utf8')).toBe(filesOf(0)['private.key'])
  })

  test('replaces no claim unasked, and says of one on an appliance with an identity that it changes nothing now', async () => {
    await using site = await bench()
    const claimOf = (index: number): Record<string, string> => ({
      'claim-certificate.pem': filesOf(index)['certificate.pem'],
      'claim-private.key': filesOf(index)['private.key'],
    })
    expect(await site.provision({ archive: await site.stick(claimOf(0)) })).not.toContain('changes nothing now')
    const archive = await site.stick(claimOf(1))
    await expect(site.provision({ archive })).rejects.toThrow(`is certificate ${idOf(0)}`)
    expect(await readFile(join(site.claimFolder, 'private.key'), 'utf8')).toBe(filesOf(0)['private.key'])
    expect(await site.provision({ archive, replace: true })).toContain(`the claim before was certificate ${idOf(0)}`)
    await site.provision({ archive: await site.stick(filesOf(0)), thingName: 'dock-1' })
    await rm(join(archive, 'certificate.pem'))
    await rm(join(archive, 'private.key'))
    expect(await site.provision({ archive })).toContain('it changes nothing now: this appliance is dock-1 already')
  })
})

describe('panorama-agent provision, given what cannot be', () => {
  test.each([
    ['--claim with files', { certificate: 'c', privateKey: 'k', claim: true }, '--claim gets certificate'],
    ['--claim with a thing name', { thingName: 'dock-1', claim: true }, '--claim gets certificate'],
    ['a certificate without its key', { certificate: 'c' }, 'needs its private key'],
    ['two ways', { certificate: 'c', privateKey: 'k', archive: '/media' }, 'two ways to provision'],
    ['nothing', {}, 'nothing to provision with'],
    ['--claim that is to replace', { claim: true, replace: true }, '--claim replaces nothing'],
  ])('refuses %s as wrong usage, before it reads or changes anything', async (_, options, message) => {
    await using site = await bench()
    const error = await site.provision(options).catch((fault: unknown) => fault)
    expect(error).toMatchObject({ name: 'UsageError', message: expect.stringContaining(message) as string })
    expect(await readdir(join(site.folder, 'state'))).toEqual([])
  })

  test('refuses what of an archive would be ignored', async () => {
    await using site = await bench()
    const archive = await site.stick({ ...filesOf(0), 'thing-name': 'dock-1' })
    await expect(site.provision({ archive, claim: true })).rejects.toMatchObject({ name: 'UsageError' })
    expect(await readdir(join(site.folder, 'state'))).toEqual([])
  })

  test('names the folder and what it should hold where none of that is there', async () => {
    await using site = await bench()
    const archive = await site.stick({ 'abc-certificate.pem.crt': 'x' })
    const error = await site.provision({ archive }).catch((fault: unknown) => fault)
    expect(error).toMatchObject({
      message: `there is nothing to provision with in ${archive}`,
      hint: expect.stringMatching(/certificate\.pem, private\.key and thing-name .*-certificate\.pem\.crt/) as string,
    })
  })

  test('refuses a certificate that has expired, with the dates, and changes nothing', async () => {
    await using site = await bench()
    const dates = { notBefore: new Date('2019-01-01T00:00:00Z'), notAfter: new Date('2020-01-01T00:00:00Z') }
    const old = await makeCertificate({ commonName: 'old', extensions: authorityExtensions(), ...dates })
    const archive = await site.stick({ 'certificate.pem': old.pem, 'private.key': old.privateKey })
    await expect(site.provision({ archive, thingName: 'dock-1' })).rejects.toThrow(
      'the certificate expired at 2020-01-01T00:00:00.000Z',
    )
    expect(await readdir(join(site.folder, 'state'))).toEqual([])
  })

  test('names the folder that is missing for a claim, and how to make it', async () => {
    await using site = await bench()
    await rm(site.claimFolder, { recursive: true })
    const { 'certificate.pem': certificate, 'private.key': key } = filesOf(0)
    const archive = await site.stick({ 'claim-certificate.pem': certificate, 'claim-private.key': key })
    await expect(site.provision({ archive })).rejects.toMatchObject({
      message: `the folder for the claim, ${site.claimFolder}, is not there (ENOENT)`,
      hint: expect.stringContaining('install -d') as string,
    })
    expect(await readdir(join(site.folder, 'state'))).toEqual([])
  })

  test('leaves the configuration as it is where the one before cannot be kept beside it', async () => {
    await using site = await bench()
    await mkdir(`${site.configFile}.before`)
    const before = await readFile(site.configFile, 'utf8')
    const files = { ...filesOf(0), 'thing-name': 'dock-1', 'config.json': before.replace('us-west-2', 'eu-west-1') }
    const error = await site.provision({ archive: await site.stick(files) }).catch(reportError)
    expect(error).toMatchObject({
      message: expect.stringMatching(/cannot be kept as .*\.before \(E[A-Z]+\)/) as string,
    })
    expect(await readFile(site.configFile, 'utf8')).toBe(before)
    expect(await readUnprovisioned(site.configFile)).toBeDefined()
  })

  test('says once, with a hint, which file cannot be read', async () => {
    await using site = await bench()
    const files = { certificate: join(site.folder, 'nope.pem'), privateKey: join(site.folder, 'nope.key') }
    const error = await site.provision(files).catch(reportError)
    expect(error).toEqual({
      name: 'AgentError',
      message: `${files.certificate} cannot be read (ENOENT)`,
      hint: 'see that it is there, and that you may read it',
    })
  })
})

describe.skipIf(await lacksMosquitto('provisioning by hand'))('panorama-agent provision --claim', () => {
  test('gets an identity in the foreground, once, also right after the doctor has connected', async () => {
    await using site = await createProvisioningSite()
    await mkdir(site.stateFolder)
    site.cloud.quotas.enforce(true) // one CONNECT a second of a client id
    const [stdout, stderr] = [new PassThrough({ encoding: 'utf8' }), new PassThrough({ encoding: 'utf8' })]
    const context = { ...contextWith(stdout), stderr }
    const options = { configFile: site.configFile, claim: true }
    await doctor({ configFile: site.configFile, json: false }, context).catch(() => undefined)
    expect(String(stdout.read())).toContain(`takes the claim as panorama-appliance-${site.serial}`)
    await provision(options, context)
    expect(String(stdout.read())).toContain(`${site.thingName} has certificate `)
    expect(String(stderr.read())).not.toContain('tried again')
    expect(site.things()).toEqual([site.thingName])
    await expect(provision(options, contextWith(stdout))).rejects.toMatchObject({
      message: 'this appliance has an identity already',
      hint: expect.stringContaining('panorama-agent reset') as string,
    })
    await rm(site.claimFolder, { recursive: true })
  })
})

async function whyNoZip(): Promise<string | undefined> {
  for (const tool of ['/usr/bin/unzip', '/usr/bin/python3']) {
    if (!(await stat(tool).catch(() => undefined))) return `there is no ${tool}`
  }
  return undefined
}
