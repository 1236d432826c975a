import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { joinPolicies } from '../cloud/appliances.ts'
import type { PolicyDocument } from '../cloud/iam/policy-document.ts'
import type { RequestRecord } from '../cloud/request-log.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { createDoctorSite, levels, variant, type DoctorRun, type DoctorSite } from '../support/doctor-site.ts'

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

test('fails where the running agent is connected and may not ask for jobs', async () => {
  await using site = await createDoctorSite()
  site.cloud.appliances.setIotPolicy(site.files.certificateId, devicePolicyWithout(site, ['Publish']))
  await using agent = new AgentProcess(site.files)
  await agent.until(({ connection, jobs }) => connection?.state === 'connected' && jobs?.lastError !== undefined)
  const run = await site.run()
  expect(levels(run, 'fail')).toEqual(['mqtt.jobs'])
  expect(run.findings.get('mqtt.jobs')).toMatchObject({
    text: expect.stringContaining('the running agent cannot ask for jobs: ') as string,
    hint: expect.stringContaining('config/cloud/iot-device-policy.json') as string,
  })
})

test.each([
  { without: ['Publish'], ids: ['mqtt.publish'], skipped: ['mqtt.receive'] },
  { without: ['Receive'], ids: ['mqtt.receive'], skipped: [] },
  {
    without: ['Publish', 'Subscribe', 'Receive'],
    ids: ['mqtt.subscribe', 'mqtt.publish'],
    skipped: ['mqtt.receive'],
  },
])('names what jobs and shadow need where the IoT policy lacks $without', async ({ without, ids, skipped }) => {
  const site = siteOf()
  const run = await runWithoutIotActions(site, without)
  expect(levels(run, 'fail')).toEqual(ids)
  expect(levels(run, 'skip')).toEqual(expect.arrayContaining(skipped))
  expect(run.findings.get('mqtt')?.level).toBe('pass')
  for (const id of ids) {
    const action = `iot:${id === 'mqtt.subscribe' ? 'Subscribe' : id === 'mqtt.publish' ? 'Publish' : 'Receive'}`
    const finding = run.findings.get(id)
    expect(finding?.text).toMatch(new RegExp(`^${action} is refused .*below \\$aws/things/appliance-a/, on .*jobs/get`))
    expect(finding?.text).toContain('shadow/name/panorama-agent/get')
    expect(finding?.hint).toContain('config/cloud/iot-device-policy.json')
  }
})

test('names where the connection was closed in the place of an answer, and tries nothing after it', async () => {
  const site = siteOf()
  site.cloud.iot.setDenial('close')
  const run = await runWithoutIotActions(site, ['Publish'])
  site.cloud.iot.setDenial('reason-code')
  expect(levels(run, 'fail')).toEqual(['mqtt.publish'])
  expect(run.findings.get('mqtt.publish')?.text).toMatch(/the connection ended.* on jobs\/get$/)
  expect(run.findings.get('mqtt.receive')?.level).toBe('skip')
})

test('changes neither shadow nor jobs by trying them', async () => {
  const { cloud, run } = siteOf()
  cloud.iot.jobs.createJob({ jobId: 'waits', document: '{}', targets: ['appliance-a'] })
  const before = cloud.iot.jobs.executions('appliance-a')
  const { findings } = await run()
  expect(['mqtt.subscribe', 'mqtt.publish', 'mqtt.receive'].map((id) => findings.get(id)?.level)).toEqual(
    Array.from({ length: 3 }, () => 'pass'),
  )
  expect(cloud.iot.jobs.executions('appliance-a')).toEqual(before)
  expect(cloud.iot.shadows.get('appliance-a', 'panorama-agent')).toBeUndefined()
  cloud.iot.jobs.deleteJob('waits', { force: true })
})

describe('a rotation', () => {
  const rotates = { provisioning: { rotateBeforeDays: 30 } }
  const onRequest = { provisioning: {} }

  test('is tried without a certificate or a thing being made', async () => {
    const site = siteOf()
    const { cloud } = site
    const before = cloud.iot.provisioning.certificates().length
    const asked = (): readonly RequestRecord[] =>
      cloud.requests.list().filter(({ service }) => service === 'iot-provisioning')
    const earlier = asked().length
    const run = await site.run({ configFile: await variant(site, 'rotates', rotates) })
    expect(run.findings.get('mqtt.rotation')).toMatchObject({
      level: 'pass',
      text: 'the certificate may be rotated, by the template panorama-appliance-rotation',
    })
    const answers = asked().slice(earlier)
    expect(answers.map(({ action, status }) => [action, status])).toEqual([
      ['CreateCertificateFromCsr', 400],
      ['RegisterThing', 400],
    ])
    expect(cloud.iot.provisioning.certificates()).toHaveLength(before)
  })

  test.each([
    { how: 'by itself', config: rotates, level: 'fail' },
    { how: 'by job', config: onRequest, level: 'warn' },
  ])('$how that the policy does not allow is told with the policy that does', async ({ config, level }) => {
    const site = siteOf()
    const run = await withPolicy(site, site.cloud.policies.iotDevicePolicy, async () =>
      site.run({ configFile: await variant(site, `rotates-${level}`, config) }),
    )
    expect(levels(run, level)).toContain('mqtt.rotation')
    expect(levels(run, 'fail').filter((id) => id !== 'mqtt.rotation')).toEqual([])
    expect(run.findings.get('mqtt.rotation')).toMatchObject({
      text: 'the certificate cannot be rotated: iot:Subscribe, iot:Publish refused (reason code 135) for $aws/certificates/create-from-csr/json, $aws/provisioning-templates/panorama-appliance-rotation/provision/json',
      hint: expect.stringContaining('config/cloud/provisioning/iot-rotation-policy.json') as string,
    })
  })

  test('by a template that is not there is told by its name', async () => {
    const site = siteOf()
    const answer = { kind: 'error', status: 404, code: 'ResourceNotFoundException' } as const
    using _ = site.cloud.faults.inject(answer, { service: 'iot-provisioning', action: 'RegisterThing' })
    const run = await site.run({ configFile: await variant(site, 'no-template', rotates) })
    expect(run.findings.get('mqtt.rotation')).toMatchObject({
      level: 'fail',
      text: 'the certificate cannot be rotated: there is no template panorama-appliance-rotation',
      hint: expect.stringContaining('provisioning.rotationTemplate') as string,
    })
  })

  test('is not judged where the connection was closed over something else', async () => {
    const site = siteOf()
    site.cloud.iot.setDenial('close')
    const { policies } = site.cloud
    const statements = policies.iotDevicePolicy.statements.filter(({ actions }) => !actions.includes('iot:Publish'))
    const run = await withPolicy(site, { ...policies.iotDevicePolicy, statements }, async () =>
      site.run({ configFile: await variant(site, 'closed', rotates) }),
    )
    site.cloud.iot.setDenial('reason-code')
    expect(levels(run, 'fail')).toEqual(['mqtt.publish'])
    expect(run.findings.get('mqtt.rotation')).toMatchObject({ level: 'skip' })
  })

  test('is no matter where the configuration has none', async () => {
    expect((await siteOf().run()).findings.has('mqtt.rotation')).toBe(false)
  })
})

async function runWithoutIotActions(site: DoctorSite, without: readonly string[]): Promise<DoctorRun> {
  return await withPolicy(site, devicePolicyWithout(site, without), async () => site.run())
}

function devicePolicyWithout({ cloud }: DoctorSite, without: readonly string[]): PolicyDocument {
  const { iotDevicePolicy: policy } = cloud.policies
  const isLeft = (action: string): boolean => !without.some((each) => action === `iot:${each}`)
  return { ...policy, statements: policy.statements.filter(({ actions }) => actions.every(isLeft)) }
}

/** Runs with another policy in the place of the appliance's own, which comes back. */
async function withPolicy<T>({ cloud, files }: DoctorSite, policy: PolicyDocument, run: () => Promise<T>): Promise<T> {
  cloud.appliances.setIotPolicy(files.certificateId, policy)
  try {
    return await run()
  } finally {
    const { iotDevicePolicy, iotRotationPolicy } = cloud.policies
    cloud.appliances.setIotPolicy(files.certificateId, joinPolicies([iotDevicePolicy, iotRotationPolicy]))
  }
}
