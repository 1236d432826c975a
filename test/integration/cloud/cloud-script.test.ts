import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { access, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'

import { describe, expect, it } from 'vitest'
import { z } from 'zod'

import { configSchema, unprovisionedSchema, type Config } from '../../../agent/config/config-schema.ts'
import { createLookup } from '../../cloud/cloud-lookup.ts'
import { Faults } from '../../cloud/faults.ts'
import { lacksMosquitto } from '../../support/mosquitto.ts'
import { askCredentials } from './credentials-client.ts'
import { textMatching } from './text-matching.ts'

const scriptFile = new URL('../../../scripts/cloud.ts', import.meta.url).pathname
const withoutIot = await lacksMosquitto('npm run cloud -- jobs')
const announced = z.object({ identity: z.string(), endpoints: z.object({ credentials: z.string(), s3: z.string() }) })

describe('npm run cloud', () => {
  it('serves the appliance that it wrote down, and cleans up when it is interrupted', async () => {
    await using running = await runCloud([])
    const { identity, endpoints } = running.announced

    const { certificate, privateKey, rootCa, thingName } = await readIdentity(identity)
    const answer = await askCredentials(
      { endpoints, rootCaPem: rootCa, lookup: createLookup(new Faults()) },
      { identity: { certificatePem: certificate, privateKeyPem: privateKey }, thingName },
    )

    expect(answer).toMatchObject({ status: 200 })
    expect(await running.interrupt()).toBe(0)
    await expect(access(identity)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('writes a valid configuration to the folder that it is given, and leaves it there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cloud-script-'))
    await using cleanup = new AsyncDisposableStack()
    cleanup.defer(() => rm(folder, { recursive: true }))
    await using running = await runCloud(['--folder', join(folder, 'identity'), '--thing', 'dock-7'])

    await running.interrupt()

    const config = await readConfig(join(folder, 'identity'))
    expect(config.device.thingName).toBe('dock-7')
    expect(config.endpoints.s3).toBe(running.announced.endpoints.s3)
  })

  it.skipIf(withoutIot)('makes, lists and cancels jobs of a running cloud', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cloud-script-'))
    await using cleanup = new AsyncDisposableStack()
    cleanup.defer(() => rm(folder, { recursive: true }))
    const running = cleanup.use(await runCloud(['--folder', folder, '--thing', 'dock-7']))
    await writeFile(join(folder, 'job.json'), '{"version":"1.0","operation":"reboot"}')
    const jobs = (verb: string, ...options: readonly string[]) => askCloud('jobs', verb, '--folder', folder, ...options)
    const job = ['--job', 'job-1', '--thing', 'dock-7', '--document', join(folder, 'job.json')]

    expect(await jobs('create', ...job)).toMatchObject({ code: 0, answer: { jobId: 'job-1' } })
    expect(await jobs('list')).toMatchObject({
      code: 0,
      answer: { jobs: [{ jobId: 'job-1', executions: [{ thingName: 'dock-7', status: 'QUEUED' }] }] },
    })
    expect(await jobs('create', ...job)).toMatchObject({
      code: 1,
      error: textMatching(/^cloud: ResourceAlreadyExists.*job-1/),
    })
    expect(await jobs('cancel', '--job', 'job-1')).toMatchObject({ code: 0 })
    expect(await jobs('list')).toMatchObject({ answer: { jobs: [{ status: 'CANCELED' }] } })
    expect(await jobs('forget')).toMatchObject({ code: 1, error: textMatching(/"jobs forget" is not known/) })
    await writeFile(join(folder, 'job.json'), '{"version":"1.0",}')
    expect(await jobs('create', ...job)).toMatchObject({
      code: 1,
      error: textMatching(/job\.json is not JSON: .*JSON/),
    })
    expect((await readConfig(folder)).endpoints.mqtt).toMatch(/^localhost:\d+$/)
    expect(await running.interrupt()).toBe(0)
  })

  it.skipIf(withoutIot)('has a running cloud make a claim, and keeps its key to the user', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cloud-script-'))
    await using cleanup = new AsyncDisposableStack()
    cleanup.defer(() => rm(folder, { recursive: true }))
    cleanup.use(await runCloud(['--folder', folder]))
    const claims = (verb: string, ...options: readonly string[]) =>
      askCloud('claims', verb, '--folder', folder, ...options)
    const out = join(folder, 'usb')

    const made = await claims('create', '--out', out)

    const pem = await readFile(join(out, 'certificate.pem'), 'utf8')
    const privateKey = join(out, 'private.key')
    const certificateId = new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase()
    expect(made).toEqual({
      code: 0,
      error: '',
      answer: { certificateId, certificate: join(out, 'certificate.pem'), privateKey },
    })
    expect(new X509Certificate(pem).checkPrivateKey(createPrivateKey(await readFile(privateKey)))).toBe(true)
    expect((await stat(privateKey)).mode & 0o777).toBe(0o600)
    const { answer } = await claims('list')
    expect(answer).toMatchObject({ certificates: [{}, { certificateId, status: 'ACTIVE', things: [] }] })
    expect(await claims('create')).toMatchObject({ answer: { privateKey: join(folder, 'claim', 'private.key') } })
    expect(await claims('forget')).toMatchObject({ code: 1, error: textMatching(/"claims forget" is not known/) })
  })

  it.skipIf(withoutIot)(
    'has a claim taken out of use, and writes a configuration for a first boot with it',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'cloud-script-'))
      await using cleanup = new AsyncDisposableStack()
      cleanup.defer(() => rm(folder, { recursive: true }))
      cleanup.use(await runCloud(['--folder', folder]))
      const made = z.object({ certificateId: z.string(), certificate: z.string() })
      const { certificateId, certificate } = made.parse((await askCloud('claims', 'create', '--folder', folder)).answer)

      const config = unprovisionedSchema.parse(JSON.parse(await readFile(join(folder, 'first-boot.json'), 'utf8')))
      expect(config.provisioning?.claimCertificate).toBe(certificate)
      expect(await readFile(config.provisioning?.serialNumberFile ?? '', 'utf8')).toBe('SN-1\n')

      const change = ['certificates', 'deactivate', '--folder', folder, '--certificate', certificateId]
      expect(await askCloud(...change)).toMatchObject({ answer: { certificateId, status: 'INACTIVE', things: [] } })
      expect(await askCloud('templates', 'disable', '--folder', folder)).toMatchObject({ code: 0 })
      expect(await askCloud('templates', 'disable', '--folder', folder, '--template', 'x')).toMatchObject({
        error: 'cloud: there is no template "x"\n',
      })
    },
  )

  it('says so when no cloud runs with the folder', async () => {
    expect(await askCloud('jobs', 'list', '--folder', '/nowhere')).toMatchObject({
      code: 1,
      error: textMatching(/no local cloud .* answers at \/nowhere\/cloud\.sock/),
    })
    expect(await askCloud('jobs', 'list')).toMatchObject({ code: 1, error: textMatching(/--folder.* is missing/) })
  })

  it('says in a line what is wrong with its options', async () => {
    expect(await askCloud('--mqtt-port', '99999')).toMatchObject({
      code: 1,
      error: textMatching(/^cloud: --mqtt-port must be 0 to 65535\n$/),
    })
    expect(await askCloud('jobs', 'list', '--foldr', 'x')).toMatchObject({
      code: 64,
      error: textMatching(/^Unknown option '--foldr'/),
    })
  })
})

interface RunningCloud extends AsyncDisposable {
  readonly announced: z.infer<typeof announced>
  /** Sends SIGINT and answers the exit code. */
  readonly interrupt: () => Promise<unknown>
}

/** Runs the script to its end. */
async function askCloud(
  ...options: readonly string[]
): Promise<{ readonly code: unknown; readonly answer: unknown; readonly error: string }> {
  const child = spawn(process.execPath, [scriptFile, ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
  const [output, error] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code: child.exitCode, answer: output === '' ? undefined : JSON.parse(output), error }
}

async function runCloud(options: readonly string[]): Promise<RunningCloud> {
  const child = spawn(process.execPath, [scriptFile, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const interrupt = async (): Promise<unknown> => {
    child.kill('SIGINT')
    await exited
    return child.exitCode
  }
  return {
    announced: announced.parse(JSON.parse(await readAnnouncement(child))),
    interrupt,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** The text up to the line that closes the JSON. */
async function readAnnouncement(child: ChildProcessByStdio<null, Readable, null>): Promise<string> {
  let text = ''
  for await (const line of createInterface({ input: child.stdout })) {
    text += line
    if (line === '}') break
  }
  return text
}

async function readConfig(folder: string): Promise<Config> {
  return configSchema.parse(JSON.parse(await readFile(join(folder, 'agent.json'), 'utf8')))
}

async function readIdentity(folder: string) {
  const { device, identity } = await readConfig(folder)
  return {
    thingName: device.thingName,
    certificate: await readFile(identity.certificate ?? '', 'utf8'),
    privateKey: await readFile(identity.privateKey ?? '', 'utf8'),
    rootCa: await readFile(identity.rootCa, 'utf8'),
  }
}
