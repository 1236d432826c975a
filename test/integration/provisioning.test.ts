import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { describe, expect, it } from 'vitest'

import { createProvisioner } from '../../agent/composition/first-boot/claim-provisioner.ts'
import { status, sync } from '../../agent/commands/ask-agent.ts'
import type { CommandContext } from '../../agent/commands/command-context.ts'
import { logs } from '../../agent/commands/logs.ts'
import { watchStatus } from '../../agent/commands/watch-status.ts'
import { readUnprovisioned } from '../../agent/config/base-document.ts'
import { refusalsBeforeAnother } from '../../agent/identity/claim-proof.ts'
import { LeftOverCertificates } from '../../agent/identity/left-over-certificates.ts'
import { createSessionClock } from '../../agent/composition/session/session-clock.ts'
import { isUnprovisioned } from '../../agent/status/render-unprovisioned.ts'
import type { StatusReport } from '../../agent/status/status-document.ts'
import { createWayToCloud } from '../../agent/composition/session/way-to-cloud.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProvisioningSite, type ProvisioningSite } from '../support/provisioning-site.ts'
import { secondNames } from '../support/proxied-site.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { startScriptedProxy } from '../support/scripted-proxy.ts'
import { until, waitUntil } from '../support/wait-until.ts'

const isWell = (status: StatusReport): boolean => !isUnprovisioned(status) && status.credentials[0]?.state === 'ok'
const isConnected = (report: StatusReport): boolean =>
  isWell(report) && !isUnprovisioned(report) && report.connection?.state === 'connected'
const hasFailed = (status: StatusReport): boolean => isUnprovisioned(status) && status.provisioning.state === 'failing'

describe.skipIf(await lacksMosquitto('provisioning by claim'))('an image that was never booted', () => {
  it('becomes a thing that works, in one process, and stays that one', async () => {
    await using site = await createProvisioningSite({ provisioning: { deleteClaim: true } })
    site.cloud.iot.provisioning.activationDelayMs = 1_500
    site.cloud.quotas.enforce(true) // one CONNECT a second of a client id
    const agent = site.start()
    const report = await site.until('an identity', isConnected)
    expect(report).toMatchObject({
      device: { thingName: site.thingName },
      identity: { origin: 'live' },
      connection: { state: 'connected' },
    })
    expect(agent.output).not.toContain('0x97')
    expect(site.things()).toEqual([site.thingName])
    await expect(access(join(site.claimFolder, 'private.key'))).rejects.toThrow('ENOENT')
    expect(await readFile(join(site.runtimeFolder, 'console-message'), 'utf8')).toBe(
      `panorama-agent: provisioned as ${site.thingName}\n`,
    )
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
    site.start()
    await site.until('the same identity', isWell)
    expect(site.things()).toEqual([site.thingName])
  })

  it('says who refuses it, in status, journal and on the console, and goes on when that is mended', async () => {
    await using site = await createProvisioningSite()
    site.cloud.appliances.setCertificateStatus(site.claimId, 'INACTIVE')
    const agent = site.start()
    const report = await site.until('a refusal', hasFailed)
    expect(report).toMatchObject({
      provisioning: {
        step: 'get-certificate',
        lastError: { message: expect.stringMatching(/^the claim is refused: /) as string },
      },
    })
    expect(await readFile(join(site.runtimeFolder, 'console-message'), 'utf8')).toMatch(
      /^panorama-agent: this appliance is not provisioned: the claim is refused: .* - see that the claim certificate is active/,
    )
    expect(agent.output).toMatch(/ERROR provisioning: the appliance is not provisioned .*the claim is refused/)
    site.cloud.appliances.setCertificateStatus(site.claimId, 'ACTIVE')
    site.cloud.iot.provisioning.setTemplateEnabled('panorama-appliance', false)
    agent.kill('SIGHUP')
    const refused = (report: StatusReport): boolean => hasFailed(report) && JSON.stringify(report).includes('403')
    expect(JSON.stringify(await site.until('another refusal', refused))).toContain('pre-provisioning hook')
    site.cloud.iot.provisioning.setTemplateEnabled('panorama-appliance', true)
    agent.kill('SIGHUP')
    await site.until('an identity', isWell)
    expect(site.things()).toEqual([site.thingName])
    expect(site.cloud.iot.provisioning.certificates()).toHaveLength(2)
  })

  it('waits for a claim and a serial number that are not there, and names them', async () => {
    await using site = await createProvisioningSite()
    const key = join(site.claimFolder, 'private.key')
    const pem = await readFile(key, 'utf8')
    await rm(key)
    await rm(join(site.folder, 'serial'))
    const agent = site.start()
    expect(JSON.stringify(await site.until('a fault', hasFailed))).toContain(join(site.folder, 'serial'))
    await writeFile(join(site.folder, 'serial'), site.serial)
    agent.kill('SIGHUP')
    const lacksClaim = (report: StatusReport): boolean => hasFailed(report) && JSON.stringify(report).includes(key)
    await site.until('another fault', lacksClaim)
    expect(await shownStatus(site.configFile)).toMatch(/\nprovisioning +failing .*\n +error +there is no claim: /)
    await expect(sync({ configFile: site.configFile }, contextWith(new PassThrough()))).rejects.toThrow(
      'not provisioned',
    )
    expect(await shownLogs(site.configFile)).toMatch(
      /there is no claim.*\n\nNothing is uploaded before the appliance has/,
    )
    await using watch = watching(site.configFile)
    await waitUntil('what is missing', () => watch.output.includes(': there is no claim'))
    await writeFile(key, pem, { mode: 0o600 })
    agent.kill('SIGHUP')
    await site.until('an identity', isWell)
    await waitUntil('the news of it', () => watch.output.includes(`Z provisioned as ${site.thingName}\n`))
    expect(await shownLogs(site.configFile)).toContain('there is no claim')
  })

  it('settles by connecting what a power cut left open, with one certificate', async () => {
    await using site = await createProvisioningSite()
    site.cloud.iot.provisioning.dropNextAnswer('register-thing')
    const agent = site.start()
    await until(() => site.things().length === 1)
    agent.kill('SIGKILL')
    await agent.exited()
    site.start()
    await site.until('an identity', isWell)
    expect(site.cloud.requests.list({ service: 'iot-provisioning', action: 'RegisterThing' })).toHaveLength(1)
    expect(site.cloud.iot.provisioning.certificates()).toHaveLength(2)
  })
})

describe.skipIf(await lacksMosquitto('the steps of a claim'))('an attempt to get an identity', () => {
  it('learns the time with the claim, where the clock may keep it from connecting', async () => {
    await using site = await createProvisioningSite()
    const { provision, clock } = await provisionerOf(site, { mqtt: 'localhost:1' })
    await expect(provision(new AbortController().signal, () => undefined)).rejects.toThrow('there is no connection')
    expect(clock.lastKnownMs()).toBeDefined()
  })

  it('learns the time by the proxy, and not past it', async () => {
    await using proxy = await startScriptedProxy()
    const network = { proxy: { url: `http://127.0.0.1:${proxy.server.port}` } }
    await using site = await createProvisioningSite({
      config: ({ cloud }) => ({ network, endpoints: secondNames(cloud) }),
    })
    const { provision, clock } = await provisionerOf(site, { mqtt: 'localhost:1' })
    await expect(provision(new AbortController().signal, () => undefined)).rejects.toThrow('there is no connection')
    expect(clock.lastKnownMs()).toBeDefined()
    expect(proxy.requests.join()).toContain('CONNECT credentials.')
  })

  it('is made with another certificate where the first was deleted in the cloud before it was proven', async () => {
    await using site = await createProvisioningSite()
    const { provisioning } = site.cloud.iot
    provisioning.activationDelayMs = 3_600_000
    const { provision, leftOver } = await provisionerOf(site)
    const attempt = (): ReturnType<typeof provision> => provision(new AbortController().signal, () => undefined)
    await expect(attempt()).rejects.toThrow('cannot be used')
    const gone = provisioning.certificates().at(-1)?.certificateId ?? ''
    site.cloud.appliances.deleteCertificate(gone)
    provisioning.activationDelayMs = 0
    for (let refusals = 2; refusals < refusalsBeforeAnother(0); refusals += 1) {
      await expect(attempt()).rejects.toThrow('cannot be used')
    }
    const { certificateId, thingName } = await attempt()
    expect(thingName).toBe(site.thingName)
    expect(certificateId).not.toBe(gone)
    expect(leftOver.certificates.map((each) => each.certificateId)).toEqual([gone])
  })
})

/** With no patience, so that each attempt is refused once. */
async function provisionerOf(site: ProvisioningSite, endpoints: Readonly<Record<string, string>> = {}) {
  const read = await readUnprovisioned(site.configFile)
  if (read === undefined) throw new Error('it is provisioned')
  const config = { ...read, endpoints: { ...read.endpoints, ...endpoints } }
  const folder = join(site.stateFolder, 'identity')
  await mkdir(folder, { recursive: true })
  const log = new RecordingLog()
  const { clock } = await createSessionClock({ paths: config.paths, log })
  const leftOver = new LeftOverCertificates({ folder, log, now: Date.now })
  const way = createWayToCloud({ config })
  const patience = { withinMs: 0, everyMs: 1 }
  return { provision: createProvisioner({ config, clock, log, way, leftOver, patience }), clock, leftOver }
}

async function shownStatus(configFile: string): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' })
  await status({ configFile, json: false }, contextWith(stdout))
  return String(stdout.read())
}

async function shownLogs(configFile: string): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' })
  await logs({ configFile, json: false, follow: false, lines: 50 }, contextWith(stdout))
  return String(stdout.read())
}

/** Looks at the status line by line, until disposed. */
function watching(configFile: string): AsyncDisposable & { readonly output: string } {
  const stop = new AbortController()
  const stdout = new PassThrough({ encoding: 'utf8' })
  const seen = { output: '' }
  stdout.on('data', (text: string) => (seen.output += text))
  const ended = watchStatus({ configFile }, { ...contextWith(stdout), signal: stop.signal })
  return {
    get output() {
      return seen.output
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await ended
    },
  }
}

function contextWith(stdout: PassThrough): CommandContext {
  return { signal: new AbortController().signal, stdout, stderr: stdout, service: {}, onHangup: () => undefined }
}
