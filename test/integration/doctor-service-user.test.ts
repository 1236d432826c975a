import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, readdir, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'

import { beforeAll, describe, expect, test } from 'vitest'

import { status } from '../../agent/commands/ask-agent.ts'
import type { DoctorReport, Finding } from '../../agent/doctor/doctor-check.ts'
import { lockState } from '../../agent/composition/session/state-folders.ts'
import { agentCommand } from '../support/agent-process.ts'
import { authorityExtensions, makeCertificate, type TestCertificate } from '../support/certificates.ts'
import { runDoctor } from '../support/doctor-site.ts'
import { outputStream } from '../support/output-stream.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { tempFolder } from '../support/temp-folder.ts'

const isRoot = process.getuid?.() === 0
/** Whom the agent would run as, and somebody else. */
const [agent, somebody] = [54_321, 54_322]
const certificates: TestCertificate[] = []

beforeAll(async () => {
  certificates.push(await makeCertificate({ commonName: 'dock-1', extensions: authorityExtensions() }))
})

interface Box extends AsyncDisposable {
  readonly folder: string
  readonly state: string
  readonly configFile: string
  /** Writes the configuration with other sections. */
  readonly configure: (sections: Readonly<Record<string, unknown>>) => Promise<void>
  /** The findings of root. */
  readonly doctor: () => Promise<ReadonlyMap<string, Finding>>
}

const closed = 'localhost:1'

/** An appliance whose state folder belongs to the agent, with an identity that it may read, and no network. */
async function box(): Promise<Box> {
  const owned = await tempFolder()
  const folder = owned.path
  await chmod(folder, 0o755)
  const [state, runtime, identity] = ['state', 'run', 'identity'].map((name) => join(folder, name))
  if (state === undefined || runtime === undefined || identity === undefined) throw new Error('three were named')
  for (const path of [state, runtime, join(state, 'identity')]) {
    await mkdir(path)
    await chmod(path, 0o711)
    await giveAway(path)
  }
  await mkdir(identity)
  await putPair(identity)
  const urls = Object.fromEntries(['s3', 'secretsManager', 'logs', 'sts'].map((name) => [name, `https://${closed}`]))
  const base = {
    device: { thingName: 'dock-1', region: 'us-west-2' },
    identity: {
      certificate: join(identity, 'certificate.pem'),
      privateKey: join(identity, 'private.key'),
      rootCa: join(identity, 'root-ca.pem'),
    },
    endpoints: { credentials: closed, mqtt: closed, ...urls },
    role: { alias: 'panorama-appliance' },
    downloads: { minFreeBytes: 0 },
    paths: { state, runtime },
  }
  const configFile = join(folder, 'config.json')
  const configure = async (sections: Readonly<Record<string, unknown>>): Promise<void> => {
    await writeFile(configFile, JSON.stringify({ ...base, ...sections }))
  }
  await configure({})
  const doctor = async (): Promise<ReadonlyMap<string, Finding>> =>
    (await runDoctor({ configFile }, { answerWithinMs: 300 })).findings
  return { folder, state, configFile, configure, doctor, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() }
}

async function putPair(folder: string): Promise<void> {
  const [certificate] = certificates
  if (certificate === undefined) throw new Error('beforeAll did not run')
  await writeFile(join(folder, 'certificate.pem'), certificate.pem)
  await writeFile(join(folder, 'root-ca.pem'), certificate.pem)
  await writeFile(join(folder, 'private.key'), certificate.privateKey, { mode: 0o600 })
  for (const name of await readdir(folder)) await giveAway(join(folder, name))
}

/** To the agent. */
async function giveAway(path: string): Promise<void> {
  if (isRoot) await chown(path, agent, agent)
}

function levels(findings: ReadonlyMap<string, Finding>, ...prefixes: readonly string[]): readonly string[] {
  return [...findings.values()]
    .filter(({ id }) => prefixes.some((prefix) => id.startsWith(prefix)))
    .map(({ id, level }) => `${id} ${level}`)
}

function said(findings: ReadonlyMap<string, Finding>, id: string): string {
  const { level, text, hint } = findings.get(id) ?? { level: 'missing', text: '', hint: '' }
  return `${level}: ${text} -> ${hint ?? ''}`
}

describe.skipIf(!isRoot)('the doctor as root judges by what the owner of the state folder may do', () => {
  test('and finds nothing wrong where that is all it needs', async () => {
    await using site = await box()
    expect(levels(await site.doctor(), 'configuration', 'reset', 'disk.write', 'files', 'identity')).toEqual([
      'configuration pass',
      'reset pass',
      'disk.write pass',
      'files pass',
      'identity pass',
      'identity.roots pass',
      'identity.dates pass',
    ])
  })

  test('with the configuration, the identity, and what it keeps', async () => {
    await using site = await box()
    await chmod(site.configFile, 0o600)
    await chmod(join(site.folder, 'identity'), 0o700)
    await chown(join(site.state, 'identity'), 0, 0)
    const findings = await site.doctor()
    expect(said(findings, 'files.configuration')).toMatch(
      /^fail: .*config\.json cannot be read by user 54321, which the agent runs as -> chown user 54321/,
    )
    expect(said(findings, 'identity')).toMatch(
      /^fail: .*certificate\.pem cannot be read .*: it may not pass .*identity /,
    )
    expect(said(findings, `files.${join(site.state, 'identity')}`)).toMatch(/^fail: .* cannot be written by user 54321/)
  })

  test('with every file that the configuration names', async () => {
    await using site = await box()
    const secret = join(site.folder, 'secret')
    await writeFile(secret, 'x\n', { mode: 0o600 })
    const noKey = join(site.folder, 'no-key')
    await writeFile(noKey, 'x')
    const accessPoint = 'arn:aws:s3:us-west-2:123456789012:accesspoint/app'
    await site.configure({
      artifacts: [{ name: 'app', accessPoint, trustedKeys: ['/nonexistent/key.pem', noKey] }],
      network: {
        proxy: { url: 'http://127.0.0.1:1', usernameFile: secret, passwordFile: '/nonexistent/password' },
      },
      cameras: { ca: secret },
    })
    const findings = await site.doctor()
    expect(levels(findings, 'files')).toEqual([
      'files.network.proxy.usernameFile fail',
      'files.network.proxy.passwordFile fail',
      'files.artifacts[0].trustedKeys[0] fail',
      'files.artifacts[0].trustedKeys[1] fail',
      'files.cameras.ca fail',
    ])
    expect(said(findings, 'files.network.proxy.passwordFile')).toContain('/nonexistent/password is not there')
    expect(said(findings, 'files.artifacts[0].trustedKeys[1]')).toContain('is no public key in PEM')
  })

  test('with the folders that it would have to make', async () => {
    await using site = await box()
    const paths = { state: join(site.configFile, 'state'), runtime: '/nonexistent-run/agent' }
    await site.configure({ paths })
    const findings = await site.doctor()
    expect(said(findings, 'disk.write')).toMatch(/^fail: .*config\.json is no folder, so that .* cannot be made/)
  })

  test('with serial number and claim', async () => {
    await using site = await box()
    const claim = join(site.folder, 'claim')
    await mkdir(claim)
    await putPair(claim)
    await chmod(claim, 0o700)
    const serial = join(site.folder, 'serial')
    await writeFile(serial, 'SN-1', { mode: 0o600 })
    await site.configure({
      device: { region: 'us-west-2' },
      identity: { rootCa: join(site.folder, 'identity', 'root-ca.pem') },
      provisioning: {
        claimCertificate: join(claim, 'certificate.pem'),
        claimPrivateKey: join(claim, 'private.key'),
        serialNumberFile: serial,
      },
    })
    const findings = await site.doctor()
    expect(said(findings, 'serial')).toMatch(/^fail: .*serial cannot be read by user 54321/)
    expect(said(findings, 'claim')).toMatch(/^fail: .*claim\/certificate\.pem cannot be read .*: it may not pass/)
  })
})

test('an appliance that is half decommissioned is not well, and is told how that is finished', async () => {
  await using site = await box()
  const key = join(site.folder, 'identity', 'private.key')
  const marker = { version: 1, decommission: true, runtime: join(site.folder, 'run'), identityFiles: [key] }
  await writeFile(join(site.state, 'reset.json'), JSON.stringify(marker))
  const hint = /run panorama-agent reset --yes --decommission as root/
  expect(said(await site.doctor(), 'reset')).toMatch(/^fail: a reset of .*: the appliance is decommissioned/)
  await expect(lockState(site.state, new RecordingLog())).rejects.toMatchObject({
    message: expect.stringContaining('files with an identity remain') as string,
    hint: expect.stringMatching(hint) as string,
  })
  const stdout = outputStream()
  const context = {
    stdout,
    stderr: stdout,
    signal: new AbortController().signal,
    service: {},
    onHangup: () => undefined,
  }
  await expect(status({ configFile: site.configFile, json: false }, context)).rejects.toMatchObject({
    message: expect.stringContaining(`a reset of ${site.state} is not finished`) as string,
    hint: expect.stringMatching(hint) as string,
  })
})

test('an agent that takes the question and does not answer fails the doctor', async () => {
  await using site = await box()
  await using _ = await listening(createServer(), site)
  expect(said(await site.doctor(), 'agent')).toMatch(
    /^fail: an agent listens at .*agent\.sock, and has not answered within 0\.3 s: it hangs.* -> systemctl restart/,
  )
})

test('an agent that AWS IoT refuses to provision fails the doctor', async () => {
  await using site = await box()
  const lastError = { name: 'AgentError', message: 'RegisterThing: 400', hint: 'mend the template' }
  const report = {
    version: 1,
    agent: { version: '1.0.0' },
    provisioning: { state: 'failing', lastError },
    overdue: [],
  }
  const server = createHttpServer((_, response) => response.end(JSON.stringify(report)))
  await using _ = await listening(server, site)
  expect(said(await site.doctor(), 'agent.provisioning')).toBe(
    'fail: is failing: RegisterThing: 400 -> mend the template',
  )
})

async function listening(server: Server, { folder }: Box): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.listen(join(folder, 'run', 'agent.sock'))
  await once(server, 'listening')
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const [node = '', ...args] = agentCommand
const cannotSwitch = !isRoot || spawnSync(node, [...args, '--version'], { uid: somebody, gid: somebody }).status !== 0
if (cannotSwitch) process.stderr.write('not tried: the doctor as other users, who may not read this checkout\n')

interface Ended {
  readonly exitCode: number | null
  readonly findings: ReadonlyMap<string, Finding>
}

/** The command, run by another user. */
function doctorAs(uid: number, { configFile }: Box): Ended {
  const options = { uid, gid: uid, encoding: 'utf8', timeout: 60_000, env: {} } as const
  const { status: exitCode, stdout } = spawnSync(node, [...args, 'doctor', '--json', '--config', configFile], options)
  const { findings } = JSON.parse(stdout) as DoctorReport
  return { exitCode, findings: new Map(findings.map((finding) => [finding.id, finding])) }
}

describe.skipIf(cannotSwitch)('the doctor as a user', () => {
  test('who is that of the agent fails what that one may not read', async () => {
    await using site = await box()
    await site.configure({ device: { region: 'us-west-2' }, identity: { rootCa: '/nonexistent' }, provisioning: {} })
    const stored = join(site.state, 'identity')
    await chmod(stored, 0o700)
    await chown(stored, 0, 0)
    const { exitCode, findings } = doctorAs(agent, site)
    expect(exitCode).toBe(1)
    expect(said(findings, 'configuration')).toMatch(/^fail: .*identity.* cannot be read .*EACCES.* by chown$/)
  })

  test('who may not read the configuration is told by config check that a mode is at fault, and not what stands in it', async () => {
    await using site = await box()
    await chmod(site.configFile, 0o600)
    const command = [...args, 'config', 'check', '--config', site.configFile]
    const { status: exitCode, stderr } = spawnSync(node, command, { uid: agent, gid: agent, encoding: 'utf8', env: {} })
    expect(exitCode).toBe(78)
    expect(stderr).toMatch(/cannot be read \(EACCES\)\nhint: let the user that the agent runs as read it: chmod 0644 /)
  })

  test('who is somebody else says of nothing more than may be seen', async () => {
    await using site = await box()
    await site.configure({ device: { region: 'us-west-2' }, identity: { rootCa: '/nonexistent' }, provisioning: {} })
    const stored = join(site.state, 'identity')
    await chmod(stored, 0o700)
    const { exitCode, findings } = doctorAs(somebody, site)
    expect(levels(findings, '').filter((line) => line.endsWith('fail'))).toEqual([])
    expect(exitCode).toBe(1) // or an appliance of which nothing is known would be shipped
    expect(said(findings, 'configuration')).toMatch(
      /^skip: .*identity in .* cannot be looked at as this user -> run this as root/,
    )
    expect(said(findings, 'disk.write')).toMatch(/^skip: .*state may not be written by this user/)
    await site.configure({})
    expect(said(doctorAs(somebody, site).findings, 'identity')).toMatch(
      /^skip: .*certificate\.pem cannot be looked at as this user/,
    )
    await chmod(site.configFile, 0o600)
    const unread = doctorAs(somebody, site).findings
    expect(said(unread, 'configuration')).toMatch(/^skip: .*config\.json cannot be looked at as this user/)
    expect(said(unread, 'agent')).toMatch(/^skip: where the agent of .*config\.json would answer is not known/)
    expect(unread.has('disk.write')).toBe(false)
  })
})
