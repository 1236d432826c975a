import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, test } from 'vitest'

import type { DoctorReport } from '../../agent/doctor/doctor-check.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { authorityExtensions, makeCertificate, serverExtensions } from '../support/certificates.ts'
import { createDoctorSite, doctorPassword, levels, variant, type DoctorSite } from '../support/doctor-site.ts'
import { startScriptedServer } from '../support/scripted-server.ts'
import { withoutAction } from '../support/without-action.ts'

const shared: { site?: DoctorSite } = {}

beforeAll(async () => {
  shared.site = await createDoctorSite()
})

afterAll(async () => {
  await shared.site?.[Symbol.asyncDispose]()
})

function siteOf(): DoctorSite {
  if (shared.site === undefined) throw new Error('beforeAll did not run')
  return shared.site
}

function section(site: DoctorSite, name: string): Readonly<Record<string, string>> {
  return site.files.config[name] as Readonly<Record<string, string>> // of our own making
}

test('finds nothing wrong with a healthy appliance, and spends no attempt on its camera', async () => {
  const site = siteOf()
  const run = await site.run()
  expect(levels(run, 'fail')).toEqual([])
  expect(levels(run, 'warn').filter((id) => id !== 'clock.ntp')).toEqual([]) // the machine of the test may have no NTP
  expect(run.error).toBeUndefined()
  expect(levels(run, 'pass')).toEqual(
    expect.arrayContaining([
      'configuration',
      'clock',
      'identity',
      'identity.dates',
      'credentials',
      'mqtt',
      'permission.artifact.app.list',
      'permission.artifact.app.get',
      'permission.logs.put',
      'permission.secrets.dock-1',
      'permission.secrets.batches',
      'camera.dock-1',
      'disk.write',
    ]),
  )
  expect(site.camera.attempts()).toEqual({ accepted: 0, refused: 0 })
  expect(site.cloud.logs.groups().map(({ name }) => name)).toEqual(['/aws/panorama/devices/appliance-a'])
  expect(site.cloud.logs.accepted().events).toBe(0)
})

test('shows no password, key or token, whether it prints lines or JSON', async () => {
  const site = siteOf()
  const issued: string[] = []
  const issue = site.cloud.sessions.issue.bind(site.cloud.sessions)
  site.cloud.sessions.issue = (options) => {
    const credentials = issue(options)
    issued.push(credentials.secretAccessKey, credentials.sessionToken, credentials.accessKeyId)
    return credentials
  }
  const text = `${(await site.run()).text}${(await site.run({ json: false })).text}`
  site.cloud.sessions.issue = issue
  const key = await readFile(join(site.files.identityFolder, 'private.key'), 'utf8')
  const keyLines = key.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----'))
  expect(issued.length).toBe(6)
  expect(text).toContain('camera dock-1')
  for (const secret of [...issued, ...keyLines, doctorPassword, 'viewer']) expect(text).not.toContain(secret)
})

test('names a role alias that does not exist', async () => {
  const site = siteOf()
  const configFile = await variant(site, 'alias', { role: { alias: 'no-such-alias' } })
  const run = await site.run({ configFile })
  expect(levels(run, 'fail')).toEqual(['credentials'])
  expect(run.findings.get('credentials')?.text).toMatch(/HTTP 403, Access Denied|Role alias does not exist/)
  expect(run.findings.get('credentials')?.hint).toContain('no-such-alias')
  expect(run.findings.get('permission.artifact.app')?.text).toContain('because "credentials" failed')
  expect(run.error).toMatchObject({ message: '1 check failed' })
})

test('names a key that is not that of the certificate, and goes on with what needs none', async () => {
  const site = siteOf()
  const other = await makeCertificate({ commonName: 'other' })
  const privateKey = join(site.files.identityFolder, 'other.key')
  await writeFile(privateKey, other.privateKey, { mode: 0o600 })
  const configFile = await variant(site, 'key', { identity: { ...section(site, 'identity'), privateKey } })
  const run = await site.run({ configFile })
  expect(levels(run, 'fail')).toEqual(['identity'])
  expect(run.findings.get('identity')).toMatchObject({
    text: expect.stringContaining(`${privateKey} is not the key of`) as unknown,
    hint: expect.stringContaining('put certificate and key of the same thing there') as unknown,
  })
  expect(run.findings.get('tls.mqtt')?.level).toBe('pass')
  expect(run.findings.get('mqtt')?.level).toBe('skip')
})

test('names an identity that is not there yet, as before provisioning', async () => {
  const site = siteOf()
  const certificate = join(site.files.identityFolder, 'absent.pem')
  const configFile = await variant(site, 'absent', { identity: { ...section(site, 'identity'), certificate } })
  const run = await site.run({ configFile })
  expect(levels(run, 'fail')).toEqual(['identity'])
  expect(run.findings.get('identity')?.text).toContain(`${certificate} is not there`)
  expect(run.findings.get('identity')?.hint).toContain('provision the appliance')
  expect(run.findings.get('tls.logs')?.level).toBe('pass')
})

test('names the fault of a configuration by its path, and looks at the machine all the same', async () => {
  const site = siteOf()
  const configFile = await variant(site, 'fault', { role: { alias: 'not an alias' } })
  const run = await site.run({ configFile })
  expect(run.findings.get('configuration')).toMatchObject({
    level: 'fail',
    text: expect.stringContaining('role.alias must be a role alias') as unknown,
  })
  expect(run.findings.has('network')).toBe(true)
  expect(run.findings.has('tls.credentials')).toBe(false)
})

test('names a server whose certificate no root of the appliance has issued, and sends it nothing', async () => {
  const site = siteOf()
  const root = await makeCertificate({ commonName: 'Corp \u001b[31mInspection', extensions: authorityExtensions() })
  const certificate = await makeCertificate({
    commonName: 'localhost',
    issuer: root,
    extensions: serverExtensions('localhost', '*.localhost'),
  })
  await using server = await startScriptedServer({ certificate, intermediates: [root] })
  const credentials = `localhost:${server.port}`
  const configFile = await variant(site, 'middle', { endpoints: { ...section(site, 'endpoints'), credentials } })
  const run = await site.run({ configFile })
  expect(levels(run, 'fail')).toEqual(['tls.credentials'])
  expect(run.findings.get('tls.credentials')).toMatchObject({
    text: expect.stringContaining(
      'is issued by "Corp \\1B[31mInspection", of which no trusted root is known',
    ) as unknown,
    hint: expect.stringContaining('without TLS inspection') as unknown,
  })
  expect(run.text).not.toContain('\u001b')
  expect(server.receivedBytes()).toBe(0)
})

test('calls a server for another name, and one that speaks no TLS, something that answers in its place', async () => {
  const site = siteOf()
  const certificate = await makeCertificate({
    commonName: 'portal.hotel.example',
    extensions: serverExtensions('portal.hotel.example'),
  })
  await using server = await startScriptedServer({ certificate })
  const plain = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>sign in</html>')
  })
  plain.listen(0, '127.0.0.1')
  await once(plain, 'listening')
  const { port } = plain.address() as AddressInfo // not a pipe
  try {
    const endpoints = {
      ...section(site, 'endpoints'),
      credentials: `localhost:${server.port}`,
      mqtt: `localhost:${port}`,
    }
    const run = await site.run({ configFile: await variant(site, 'portal', { endpoints }) })
    expect(levels(run, 'fail')).toEqual(['tls.credentials', 'tls.mqtt'])
    expect(run.findings.get('tls.credentials')?.text).toContain('its certificate is for "portal.hotel.example"')
    for (const id of ['tls.credentials', 'tls.mqtt']) {
      expect(run.findings.get(id)).toMatchObject({
        text: expect.stringContaining('something in the network answers in the place of localhost') as unknown,
        hint: expect.stringContaining('captive portal') as unknown,
      })
    }
  } finally {
    plain.close()
  }
})

const permissions = [
  {
    action: 's3:ListBucket',
    id: 'permission.artifact.app.list',
    hint: /access point policy.*bucket policy.*kms:Decrypt/,
  },
  {
    action: 's3:GetObject',
    id: 'permission.artifact.app.get',
    hint: /access point policy.*bucket policy.*kms:Decrypt/,
  },
  {
    action: 'secretsmanager:GetSecretValue',
    id: 'permission.secrets.dock-1',
    hint: /allow secretsmanager:GetSecretValue on panorama/,
  },
  {
    action: 'logs:PutLogEvents',
    id: 'permission.logs.put',
    hint: /allow logs:PutLogEvents on \/aws\/panorama\/devices/,
  },
  {
    action: 'logs:CreateLogStream',
    id: 'permission.logs.stream',
    hint: /allow logs:CreateLogStream on \/aws\/panorama\/devices/,
  },
] as const

test.for(permissions)('names $action where the role lacks it', async ({ action, id, hint }) => {
  const site = siteOf()
  withoutAction(site.cloud, action)
  const run = await site.run()
  withoutAction(site.cloud, 'nothing:Nothing') // gives it back
  expect(levels(run, 'fail')).toEqual([id])
  expect(run.findings.get(id)?.text).toMatch(/AccessDenied/)
  expect(run.findings.get(id)?.hint).toMatch(hint)
})

test('says of batches of secrets, and of a group that is there, that they are only worse without', async () => {
  const site = siteOf()
  for (const [action, id] of [
    ['secretsmanager:BatchGetSecretValue', 'permission.secrets.batches'],
    ['logs:CreateLogGroup', 'permission.logs.group'],
  ] as const) {
    withoutAction(site.cloud, action)
    const run = await site.run()
    withoutAction(site.cloud, 'nothing:Nothing')
    expect(levels(run, 'fail')).toEqual([])
    expect(run.findings.get(id)?.level).toBe('warn')
  }
})

test('names a camera that cannot be reached', async () => {
  const site = siteOf()
  await site.camera.setReach('down')
  const run = await site.run()
  await site.camera.setReach('up')
  expect(levels(run, 'fail')).toEqual(['camera.dock-1'])
  expect(run.findings.get('camera.dock-1')?.text).toContain('it refuses connections')
  expect(run.findings.get('camera.dock-1')?.hint).toContain('power, cable, VLAN')
})

test('names an endpoint that refuses connections', async () => {
  const site = siteOf()
  await site.cloud.unreachable()
  const run = await site.run()
  await site.cloud.reachable()
  expect(levels(run, 'fail')).toContain('tls.credentials')
  expect(run.findings.get('tls.credentials')?.text).toMatch(
    /no connection to localhost:\d+: it is refused \(ECONNREFUSED\)/,
  )
  expect(run.findings.get('tls.credentials')?.hint).toContain('firewall')
})

test('names what keeps MQTT from connecting', async () => {
  const site = siteOf()
  await site.cloud.iot.stopBroker()
  const run = await site.run()
  await site.cloud.iot.startBroker()
  expect(levels(run, 'fail')).toEqual(['mqtt'])
  expect(run.findings.get('mqtt')?.text).toContain('localhost')
})

test('asks a running agent for its connection, and does not end it', async () => {
  await using site = await createDoctorSite()
  await using agent = new AgentProcess(site.files)
  await agent.until(({ connection }) => connection?.state === 'connected')
  const connects = site.cloud.requests.count({ action: 'Connect' })
  const run = await site.run()
  expect(run.findings.get('mqtt')).toMatchObject({ level: 'pass', text: 'the running agent is connected' })
  expect(site.cloud.requests.count({ action: 'Connect' })).toBe(connects)
  expect(levels(run, 'fail')).toEqual([])
  expect([...run.findings.keys()].some((id) => id.startsWith('agent'))).toBe(true)
})

test('goes by a chained role, and asks for the credentials of applications', async () => {
  await using site = await createDoctorSite()
  const { cloud, files } = site
  const { certificateId } = files
  const { roleAlias, roleArn } = cloud.createRoleChain()
  const application = await cloud.createApplication({ name: 'counter', certificateId })
  const statement = { effect: 'Allow', actions: ['iot:AssumeRoleWithCertificate'], resources: ['*'] } as const
  const {
    version,
    statements: [first],
  } = cloud.policies.iotDevicePolicy
  if (first === undefined) throw new Error('the policy has no statement')
  cloud.appliances.addIotPolicy(certificateId, { version, statements: [{ ...first, ...statement }] })
  const run = await site.run({
    configFile: await variant(site, 'chain', {
      role: { alias: roleAlias, assume: { roleArn } },
      applications: [{ name: 'counter', roleAlias: application.roleAlias, group: 'root' }],
      cameras: {},
    }),
  })
  expect(levels(run, 'fail')).toEqual([])
  expect(levels(run, 'pass')).toEqual(
    expect.arrayContaining(['tls.sts', 'credentials', 'credentials.application.counter', 'permission.logs.put']),
  )
})

test('ends with its signal', async () => {
  const site = siteOf()
  const stop = new AbortController()
  stop.abort(new Error('interrupted'))
  const { error, text } = await site.run({ signal: stop.signal })
  expect(error).toMatchObject({ message: 'interrupted' })
  expect(text).toBe('')
})

test('prints one line of JSON whose counts are those of its findings', async () => {
  const site = siteOf()
  const { text } = await site.run()
  expect(text.trimEnd().split('\n')).toHaveLength(1)
  const report = JSON.parse(text) as DoctorReport
  expect(report.version).toBe(1)
  const { pass, warn, fail, skip } = report.counts
  expect(pass + warn + fail + skip).toBe(report.findings.length)
  expect(new Set(report.findings.map(({ id }) => id)).size).toBe(report.findings.length)
})

test('leaves no file behind in the state folder', async () => {
  const site = siteOf()
  await site.run()
  expect(await readdir(site.files.stateFolder)).toEqual([])
})

test('names a system clock that is far off, and goes on by the time that servers tell', async () => {
  await using site = await createDoctorSite({ timeOffsetMs: 400 * 86_400_000 })
  const run = await site.run()
  expect(levels(run, 'fail')).toEqual(['tls.mqtt', 'clock'])
  expect(run.findings.get('clock')).toMatchObject({
    text: expect.stringMatching(/the system clock says .*, and is 400 days slow/) as unknown,
    hint: expect.stringContaining('/etc/panorama-agent/allowed/set-clock') as unknown,
  })
  expect(run.findings.get('tls.mqtt')?.text).toContain('MQTT waits for it')
  expect(levels(run, 'pass')).toEqual(expect.arrayContaining(['credentials', 'permission.logs.put', 'camera.dock-1']))
  expect(run.findings.get('tls.credentials')?.level).toBe('warn')
})
