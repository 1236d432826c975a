import { spawn, spawnSync } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { rootCertificates } from 'node:tls'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { runCommand } from '../support/run-command.ts'
import { tempFolder, type TempFolder } from '../support/temp-folder.ts'
import { pollUntil } from './support/poll-until.ts'
import { packageFile } from './support/package-file.ts'
import { baseRootFileSystem, copyTree, removeTree } from './support/root-file-system.ts'

const root = join(import.meta.dirname, '..', '..')
const installer = join(root, 'scripts', 'image-install')
const units = ['panorama-agent.service', 'panorama-agent-request.path', 'panorama-agent-request.service']
const kept = 'var/lib/panorama-agent-update/installed.deb'
const hostPolicy = '#!/bin/sh\nexit 104\n'
const serial = 'var/lib/panorama-agent-serial/serial'
const machineId = '0123456789abcdef0123456789abcdef\n'
const goodConfig = {
  device: { region: 'us-west-2' },
  identity: { rootCa: '/etc/panorama-agent/identity/root-ca.pem' },
  endpoints: { credentials: 'c1.credentials.iot.us-west-2.amazonaws.com', mqtt: 'a1-ats.iot.us-west-2.amazonaws.com' },
  role: { alias: 'panorama-appliance' },
  provisioning: {},
}
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 })

describe('a package that is put into an image', () => {
  let folder: TempFolder
  let deb: string
  let image: string
  let printed: string
  let before: readonly string[]

  beforeAll(async () => {
    folder = await tempFolder()
    deb = await packageFile({ folder: folder.path })
    image = join(folder.path, 'image')
    await copyTree(await baseRootFileSystem(), image)
    await rm(join(image, 'etc/resolv.conf'), { force: true })
    await symlink('../run/systemd/resolve/stub-resolv.conf', join(image, 'etc/resolv.conf'))
    await writeFile(join(image, 'usr/sbin/policy-rc.d'), hostPolicy, { mode: 0o755 })
    await giveIds(image)
    before = await everythingIn(image)
    const key = join(folder.path, 'vendor.pem')
    await writeFile(key, generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }))
    const args = [image, '--deb', deb, '--update-key', key]
    printed = (await runCommand(installer, args, { withinMs: 300_000 })).stdout
  })

  afterAll(async () => {
    await removeTree(image)
    await folder[Symbol.asyncDispose]()
  })

  it('is installed, with both units enabled, and says what is missing yet', async () => {
    expect(printed).toContain('the image has no /etc/panorama-agent/config.json yet')
    const wanted = await readdir(join(image, 'etc/systemd/system/multi-user.target.wants'))
    expect(wanted).toEqual(expect.arrayContaining(['panorama-agent.service', 'panorama-agent-request.path']))
    const { gid } = await ownerIn(image)
    expect(await stat(join(image, 'etc/panorama-agent/identity'))).toMatchObject({ mode: 0o40750, uid: 0, gid })
  })

  it('has no machine id nor serial number that all its appliances would have, and says so', async () => {
    expect(await readFile(join(image, 'etc/machine-id'), 'utf8')).toBe('')
    expect(await readlink(join(image, 'var/lib/dbus/machine-id'))).toBe('/etc/machine-id')
    expect(printed).toContain('/etc/machine-id is emptied')
    expect(printed).toContain('the copy of the machine id in /var/lib/dbus/machine-id leads to /etc/machine-id now')
    expect(await everythingIn(image)).not.toContain(serial)
    expect(printed).toContain(`/${serial} of the image is removed`)
  })

  it('is not installed where the configuration of the image is at fault', async () => {
    const config = join(image, 'etc/panorama-agent/config.json')
    await using cleanup = new AsyncDisposableStack()
    cleanup.defer(() => rm(config))
    await writeFile(config, JSON.stringify({ ...goodConfig, provisioning: undefined }))
    const held = await everythingIn(image, '%P %C@\n')
    const { status, stderr } = spawnSync(installer, [image, '--deb', deb], { encoding: 'utf8' })
    expect(stderr).toContain('/etc/panorama-agent/config.json: device.thingName: is missing')
    expect(stderr).toContain('at fault: nothing is installed')
    expect(status).toBe(1)
    expect(await everythingIn(image, '%P %C@\n')).toEqual(held)
    await writeFile(config, JSON.stringify(goodConfig))
    const checked = spawnSync(installer, [image, '--check'], { encoding: 'utf8' })
    expect(checked.stderr).toContain(`identity.rootCa: ${goodConfig.identity.rootCa} is not in the image`)
    expect(checked.status).toBe(1)
  })

  it('leaves what the image had as it was, and nothing of the machine that made it', async () => {
    expect(await readlink(join(image, 'etc/resolv.conf'))).toBe('../run/systemd/resolve/stub-resolv.conf')
    expect(await readFile(join(image, 'usr/sbin/policy-rc.d'), 'utf8')).toBe(hostPolicy)
    const allowed =
      /panorama-agent|^(etc|var\/lib\/(dpkg|apt|systemd)|var\/log|var\/cache\/(ldconfig|apt|debconf))(\/|$)|\/(locale|mime)\//
    const added = (await everythingIn(image)).filter((path) => !before.includes(path))
    expect(added.filter((path) => !allowed.test(path))).toEqual([])
    expect(added.filter((path) => path.endsWith('.deb') || path.startsWith('var/lib/apt/lists/'))).toEqual([kept])
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(image)
  })

  it('keeps the package that it was installed from, for an update to go back to', async () => {
    expect((await readFile(join(image, kept))).equals(await readFile(deb))).toBe(true)
    expect(await stat(join(image, kept))).toMatchObject({ mode: 0o100644, uid: 0, gid: 0 })
    const keys = await readdir(join(image, 'etc/panorama-agent/update-keys'))
    expect(keys).toEqual(['vendor.pem'])
  })

  it('has units that systemd finds no fault with', async () => {
    const all = [...units, 'panorama-agent-unseal.service']
    const { stdout, stderr } = await runCommand('systemd-analyze', ['verify', '--man=no', `--root=${image}`, ...all])
    expect(`${stdout}${stderr}`).toBe('')
  })

  it('has a service that is exposed by no more than 1.5 of 10', () => {
    expect(exposureIsBelow(15, image)).toBe(true)
    // so that the threshold is known to be looked at
    expect(exposureIsBelow(13, image)).toBe(false)
  })

  it('keeps configuration, identity and what the operator disabled when it is installed again', async () => {
    await using own = await copyOf(image)
    const config = join(own.path, 'etc/panorama-agent/config.json')
    await writeFile(config, JSON.stringify(goodConfig))
    await writeFile(join(own.path, goodConfig.identity.rootCa), rootCertificates[0] ?? '')
    await giveIds(own.path)
    await writeFile(join(own.path, 'etc/panorama-agent/identity/private.key'), 'key\n', { mode: 0o640 })
    await runCommand('systemctl', [`--root=${own.path}`, 'disable', 'panorama-agent-request.path'])
    const args = [own.path, '--deb', deb, '--keep-machine-id']
    const { stdout: said } = await runCommand(installer, args, { withinMs: 300_000 })
    expect(said).toContain('config.json of the image has no fault')
    expect(await readFile(join(own.path, 'etc/machine-id'), 'utf8')).toBe(machineId)
    expect(said).toContain('panorama-agent-request.path stays disabled')
    expect(await readFile(config, 'utf8')).toBe(JSON.stringify(goodConfig))
    expect(await readFile(join(own.path, 'etc/panorama-agent/identity/private.key'), 'utf8')).toBe('key\n')
    const { stdout } = await runCommand('sh', [
      '-c',
      `systemctl --root=${own.path} is-enabled ${units.join(' ')} || true`,
    ])
    expect(stdout).toBe('enabled\ndisabled\nstatic\n')
  })

  it('lets dpkg end when it is interrupted, and says so', async () => {
    const installing = spawn(installer, [image, '--deb', deb], { detached: true, stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    installing.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const ended = once(installing, 'close')
    await pollUntil('dpkg unpacks', async () => (await everythingIn(image)).some((path) => path.endsWith('.dpkg-new')))
    process.kill(-(installing.pid ?? Number.NaN), 'SIGINT')
    expect(await ended).toEqual([130, null])
    expect(said).toBe('image-install: interrupted: install again before the image is used\n')
    expect((await runCommand('chroot', [image, 'dpkg', '--audit'])).stdout).toBe('')
    expect(await readFile(join(image, 'usr/sbin/policy-rc.d'), 'utf8')).toBe(hostPolicy)
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(image)
  })

  it('keeps everything at a removal, and wipes identity, secrets and state at a purge', async () => {
    await using own = await copyOf(image)
    const places = [
      'etc/panorama-agent',
      'var/lib/panorama-agent',
      'var/lib/panorama-agent-update',
      'run/panorama-agent',
      'run/panorama-agent-root',
    ]
    const key = 'etc/credstore.encrypted/panorama-agent.sealing-key'
    for (const path of [...places, 'etc/credstore.encrypted']) await mkdir(join(own.path, path), { recursive: true })
    for (const path of [...places.map((place) => join(place, 'secret')), key])
      await writeFile(join(own.path, path), 'secret')
    await dpkg(own.path, '--remove')
    expect(await readFile(join(own.path, 'var/lib/panorama-agent/secret'), 'utf8')).toBe('secret')
    await dpkg(own.path, '--purge')
    const left = (await everythingIn(own.path)).filter((path) => path.includes('panorama-agent'))
    expect(left).toEqual([])
    expect(await ownerIn(own.path)).toMatchObject({ name: 'panorama-agent' })
  })
})

describe('scripts/image-install', () => {
  it.each([
    { what: 'no folder', args: ['/nowhere-at-all'], says: /there is no folder \/nowhere-at-all/ },
    { what: 'a folder that is no root file system', args: [root], says: /is no root file system of Debian/ },
    { what: 'this machine', args: ['/'], says: /is this machine/ },
    { what: 'nothing', args: [], says: /Usage/ },
    { what: 'an option that it does not know', args: ['--start', '/nowhere-at-all'], says: /Usage/ },
  ])('refuses $what', ({ args, says }) => {
    const { status, stderr } = spawnSync(installer, args, { encoding: 'utf8' })
    expect(stderr).toMatch(says)
    expect(status).toBe(args.length === 1 ? 1 : 64)
  })

  it.each([
    { what: 'of RSA', says: /neither an Ed25519 nor a P-256 key/, pem: publicPem(rsa) },
    { what: 'of another curve', says: /neither an Ed25519 nor a P-256 key/, pem: publicPem(p384) },
    { what: 'with a second one behind it', says: /is no public key in PEM/, pem: publicPem(p256) + publicPem(p256) },
    {
      what: 'that is private',
      says: /is no public key in PEM/,
      pem: p256.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    },
    { what: 'that appliances take', says: /is no root file system of Debian/, pem: publicPem(p256) },
  ])('looks at an update key $what before it changes anything', async ({ says, pem }) => {
    await using folder = await tempFolder()
    const key = join(folder.path, 'vendor.pem')
    await writeFile(key, pem)
    const { status, stderr } = spawnSync(installer, [folder.path, '--update-key', key], { encoding: 'utf8' })
    expect(stderr).toMatch(says)
    expect(status).toBe(1)
  })
})

function publicPem({ publicKey }: { readonly publicKey: KeyObject }): string {
  return publicKey.export({ type: 'spki', format: 'pem' })
}

/** What a tool that makes images, or a boot, leaves behind. */
async function giveIds(image: string): Promise<void> {
  for (const path of ['etc/machine-id', 'var/lib/dbus/machine-id', serial]) {
    await mkdir(dirname(join(image, path)), { recursive: true })
    await rm(join(image, path), { force: true })
    await writeFile(join(image, path), machineId, { mode: 0o444 })
  }
}

/** For a test that changes it. */
async function copyOf(image: string): Promise<TempFolder> {
  await using owned = new AsyncDisposableStack()
  const { path: parent } = owned.use(await tempFolder())
  const path = join(parent, 'image')
  owned.defer(() => removeTree(path))
  await copyTree(image, path)
  const kept = owned.move()
  return { path, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

function exposureIsBelow(threshold: number, image: string): boolean {
  const args = ['security', '--offline=true', `--root=${image}`, `--threshold=${threshold}`, 'panorama-agent.service']
  return spawnSync('systemd-analyze', args).status === 0
}

async function dpkg(image: string, action: string): Promise<void> {
  await runCommand('chroot', [image, 'dpkg', action, 'panorama-agent'])
}

async function everythingIn(image: string, format = '%P\n'): Promise<readonly string[]> {
  const { stdout } = await runCommand('find', [image, '-xdev', '-mindepth', '1', '-printf', format])
  return stdout.trimEnd().split('\n')
}

async function ownerIn(image: string): Promise<{ readonly name: string; readonly gid: number }> {
  const lines = (await readFile(join(image, 'etc/passwd'), 'utf8')).split('\n')
  const [name = '', , , gid] = lines.find((line) => line.startsWith('panorama-agent:'))?.split(':') ?? []
  return { name, gid: Number(gid) }
}
