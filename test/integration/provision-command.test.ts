import { X509Certificate } from 'node:crypto'
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { beforeAll, describe, expect, test } from 'vitest'

import type { CommandContext } from '../../agent/commands/command-context.ts'
import { provision, type ProvisionOptions } from '../../agent/commands/provision.ts'
import { readBase, readUnprovisioned } from '../../agent/config/base-document.ts'
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
    for (const index of [0, 1, 0]) {
      await site.provision({ archive: await site.stick(filesOf(index)), thingName: 'dock-1' })
    }
    const list = await readFile(join(site.folder, 'state', 'identity', 'left-over.json'), 'utf8')
    const ids = made.map(({ pem }) => new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase())
    expect(JSON.parse(list)).toMatchObject({ certificates: [{ certificateId: ids[1], why: 'deactivate' }] })
  })

  test('takes no certificate with the key of another, and changes nothing', async () => {
    await using site = await bench()
    const stick = await site.stick({ ...filesOf(0), 'private.key': filesOf(1)['private.key'] })
    await expect(site.provision({ archive: stick, thingName: 'dock-1' })).rejects.toThrow(
      'no certificate with the private key',
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

describe.skipIf(await lacksMosquitto('provisioning by hand'))('panorama-agent provision --claim', () => {
  test('gets an identity in the foreground, once', async () => {
    await using site = await createProvisioningSite()
    await mkdir(site.stateFolder)
    const stdout = new PassThrough({ encoding: 'utf8' })
    const options = { configFile: site.configFile, claim: true }
    await provision(options, contextWith(stdout))
    expect(String(stdout.read())).toContain(`${site.thingName} has certificate `)
    expect(site.things()).toEqual([site.thingName])
    await expect(provision(options, contextWith(stdout))).rejects.toThrow('has an identity already')
    await rm(site.claimFolder, { recursive: true })
  })
})

async function whyNoZip(): Promise<string | undefined> {
  for (const tool of ['/usr/bin/unzip', '/usr/bin/python3']) {
    if (!(await stat(tool).catch(() => undefined))) return `there is no ${tool}`
  }
  return undefined
}
