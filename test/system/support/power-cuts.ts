import { randomInt } from 'node:crypto'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'

import { agentVersion } from '../../../agent/build-info.ts'
import { installedVersion, installOriginal, keptVersion, untilTrialIsGone, updatesFolder } from './agent-updates.ts'
import { paths } from './appliance.ts'
import { ApplianceJobs } from './appliance-jobs.ts'
import { fieldVersions, type FieldSite, type FieldVersion } from './field-site.ts'
import { pollUntil } from './poll-until.ts'

/** What the power is cut in. */
export const cutKinds = ['provisioning', 'rotation', 'update'] as const
export type CutKind = (typeof cutKinds)[number]

/** Where the power was cut, and what came of it. */
export interface Cut {
  readonly kind: CutKind
  readonly afterMs: number
  /** As the disk has it after the cut. */
  readonly stage: string
  readonly outcome: string
}

/** A share of what the thing takes: 0 is at its begin, 1 at about its end. */
export interface CutPoint {
  readonly kind: CutKind
  readonly share: number
}

/** As many points as wanted, at random, over all that it takes. */
export function cutPoints(kind: CutKind, count: number): readonly CutPoint[] {
  return Array.from({ length: count }, (_, index) => ({ kind, share: (index + Math.random()) / count }))
}

/** Cuts the power of an appliance that is at work, boots it, and throws an Error unless all is as it has to be. */
export async function cutPower(site: FieldSite, { kind, share }: CutPoint): Promise<Cut> {
  switch (kind) {
    case 'provisioning':
      return await cutProvisioning(site, share)
    case 'rotation':
      return await cutRotation(site, share)
    case 'update':
      return await cutUpdate(site, share)
  }
}

/** The serial number is found right before the agent starts; cuts before that are as many as those of the boot. */
const serialFile = '/var/lib/panorama-agent-serial/serial'
const bootShare = 0.2
const boot = { fromMs: 700, toMs: 2_000 }
const provisioning = { fromMs: 0, toMs: 4_500 }
const rotation = { fromMs: 0, toMs: 4_000 }
const update = { good: { fromMs: 0, toMs: 8_000 }, crashing: { fromMs: 0, toMs: 25_000 } }

async function cutProvisioning(site: FieldSite, share: number): Promise<Cut> {
  const { container } = site.appliance
  const before = await site.atWork()
  const { thingName } = before.device
  await site.reset()
  await site.appliance.remove(serialFile)
  const known = site.certificatesOf(thingName).length
  await container.cutPower()
  using _ = slowLink(site)
  const begunMs = performance.now()
  const booting = container.boot().catch(() => undefined)
  await untilBootIsAt(site, share)
  await container.cutPower()
  const afterMs = Math.round(performance.now() - begunMs)
  await booting
  const stage = await identityStage(site)
  await container.boot()
  const { device } = await site.atWork()
  expectSame('thing', device.thingName, thingName)
  const made = site.certificatesOf(thingName).slice(known)
  const certificateId = await site.certificateInUse()
  expectSame('certificates', made, [{ certificateId, status: 'ACTIVE', things: [thingName] }])
  await expectOneIdentity(site, certificateId)
  return { kind: 'provisioning', afterMs, stage, outcome: `provisioned as ${thingName}` }
}

/** Until a point of the boot, or of what comes after it. */
async function untilBootIsAt({ appliance }: FieldSite, share: number): Promise<void> {
  if (share < bootShare) {
    await delay(within(boot, share / bootShare))
    return
  }
  const isFound = async (): Promise<boolean> => (await appliance.read(serialFile).catch(() => '')) !== ''
  await pollUntil('the serial number is found', isFound)
  await delay(within(provisioning, (share - bootShare) / (1 - bootShare)))
}

async function cutRotation(site: FieldSite, share: number): Promise<Cut> {
  const { device } = await site.atWork()
  const before = await site.certificateInUse()
  const known = site.certificatesOf(device.thingName).length
  const jobs = jobsOf(site, device.thingName)
  using _ = slowLink(site)
  const jobId = jobs.create({ operation: 'rotate-certificate', confirmSeconds: 60 })
  const afterMs = within(rotation, share)
  await delay(afterMs)
  const stage = await cutAndBoot(site, () => identityStage(site))
  const { status, statusDetails } = await jobs.ended(jobId)
  await site.atWork()
  const certificateId = await site.certificateInUse()
  const made = site.certificatesOf(device.thingName).slice(known)
  const [orphan] = made
  const expected =
    status === 'SUCCEEDED'
      ? { certificateId, deactivate: before }
      : { reason: statusDetails['reason'], ...(orphan && { orphanCertificateId: orphan.certificateId }) }
  expectSame('details of the job', statusDetails, expected)
  expectSame('certificates made', made.length <= 1, true)
  expectSame('new certificate', certificateId !== before, status === 'SUCCEEDED')
  await expectOneIdentity(site, certificateId)
  return { kind: 'rotation', afterMs, stage, outcome: status }
}

async function cutUpdate(site: FieldSite, share: number): Promise<Cut> {
  const { device } = await site.atWork()
  const artifact: FieldVersion = randomInt(3) === 0 ? 'crashing' : 'good'
  const jobs = jobsOf(site, device.thingName)
  const jobId = jobs.create({ operation: 'update-agent', artifact, confirmSeconds: 60 })
  const afterMs = within(update[artifact], share)
  await delay(afterMs)
  const stage = await cutAndBoot(site, () => updateStage(site))
  const { status } = await jobs.ended(jobId)
  const version = await installedVersion(site.appliance)
  const wanted = version === fieldVersions.good ? ['SUCCEEDED', fieldVersions.good] : ['FAILED', agentVersion]
  expectSame('status and version', [status, version], wanted)
  await site.atWork()
  await untilTrialIsGone(site.appliance)
  expectSame('version that is kept', await keptVersion(site.appliance), version)
  if (version !== agentVersion) await installOriginal(site.appliance)
  return { kind: 'update', afterMs, stage: `${artifact} version: ${stage}`, outcome: `${status}, ${version}` }
}

/** As to a region that is far: without time between the steps, nearly every cut would be before or after them all. */
function slowLink({ cloud }: FieldSite): Disposable {
  const slow = new DisposableStack()
  for (const service of ['iot-provisioning', 'credentials'])
    slow.use(cloud.faults.inject({ kind: 'latency', delayMs: 400 }, { service }))
  cloud.iot.provisioning.activationDelayMs = 800
  slow.defer(() => {
    cloud.iot.provisioning.activationDelayMs = 0
  })
  return slow
}

async function cutAndBoot(site: FieldSite, look: () => Promise<string>): Promise<string> {
  await site.appliance.container.cutPower()
  const stage = await look()
  await site.appliance.container.boot()
  return stage
}

/** What the identity folder of an appliance that is off says. */
async function identityStage({ appliance }: FieldSite): Promise<string> {
  const folder = appliance.container.path(`${paths.state}/identity`)
  const link = async (name: string): Promise<boolean> =>
    await readlink(join(folder, name)).then(
      () => true,
      () => false,
    )
  const pending = await fieldsOf(join(folder, 'pending/pending.json'), ['step', 'isAsked'])
  const record = await fieldsOf(join(folder, 'rotation.json'), ['state'])
  const links = [(await link('current')) && 'current', (await link('previous')) && 'previous'].filter(Boolean)
  const serial = await readFile(appliance.container.path(serialFile)).catch(() => undefined)
  return [
    ...(serial === undefined ? ['no serial number'] : []),
    ...(links.length === 0 ? ['no identity'] : [links.join(' and ')]),
    ...(pending === '' ? [] : [`pending ${pending}`]),
    ...(record === '' ? [] : [`rotation ${record}`]),
  ].join(', ')
}

async function updateStage({ appliance: { container } }: FieldSite): Promise<string> {
  const trial = await fieldsOf(container.path(`${updatesFolder}/trial.json`), ['phase', 'begun'])
  const status = await readFile(container.path('/var/lib/dpkg/status'), 'utf8')
  const [, state = 'gone'] = /^Package: panorama-agent\nStatus: install ok (.*)$/m.exec(status) ?? []
  const underWay = (await readdir(container.path('/var/lib/dpkg/updates'))).length
  const dpkg = underWay === 0 ? state : `${state}, with changes under way`
  return `${trial === '' ? 'no trial' : trial}; package ${dpkg}`
}

/** Values of a JSON file; empty where it is not there. */
async function fieldsOf(file: string, names: readonly string[]): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return ''
  const json = JSON.parse(text) as Readonly<Record<string, string | number | boolean>>
  return names.flatMap((name) => (json[name] === undefined ? [] : [`${name} ${String(json[name])}`])).join(', ')
}

/** Exactly one version is left, and nothing under way or on trial. */
async function expectOneIdentity(site: FieldSite, certificateId: string): Promise<void> {
  const left = async (): Promise<readonly string[]> =>
    (await site.identityFiles()).filter((path) => /^(pending|previous|versions\/[^/]+$)/.test(path))
  await pollUntil('one identity and nothing under way', async () => (await left()).length === 1, 20_000).catch(
    async (cause: unknown) => {
      throw new Error(`identities are left: ${(await left()).join(', ')}; in use is ${certificateId}`, { cause })
    },
  )
}

function jobsOf({ cloud, appliance: { container } }: FieldSite, thingName: string): ApplianceJobs {
  return new ApplianceJobs(cloud, { container, thingName })
}

function within({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }, share: number): number {
  return Math.round(fromMs + share * (toMs - fromMs))
}

function expectSame(what: string, found: unknown, wanted: unknown): void {
  if (isDeepStrictEqual(found, wanted)) return
  throw new Error(`${what}: ${JSON.stringify(found)} in place of ${JSON.stringify(wanted)}`)
}
