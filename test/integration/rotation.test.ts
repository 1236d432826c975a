import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { createHandler } from '../../config/cloud/provisioning/pre-provisioning-hook.mjs'
import { readTemplate } from '../cloud/iam/cloud-policies.ts'
import { createJobsSite, type JobsSite } from '../support/jobs-site.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { waitUntil } from '../support/wait-until.ts'

const rotate = { operation: 'rotate-certificate', confirmSeconds: 30 }
const site = (): Promise<JobsSite> => createJobsSite({ config: () => ({ provisioning: {} }) })

const lacksBroker = await lacksMosquitto('the rotation of certificates')

/** Side by side, as most of their time goes by in waiting. */
describe.skipIf(lacksBroker)('a rotation by a job', { timeout: 120_000 }, () => {
  test.concurrent('gives the appliance another certificate, and tells which one to deactivate', async () => {
    await using dock = await site()
    const { cloud } = dock
    const [before] = cloud.iot.provisioning.certificates()
    const agent = await dock.startConnected()
    dock.createJob('job-1', rotate)
    const { status, statusDetails } = await dock.ended('job-1')

    expect(status).toBe('SUCCEEDED')
    const after = cloud.iot.provisioning.certificates().at(-1)
    expect(statusDetails).toEqual({ certificateId: after?.certificateId, deactivate: before?.certificateId })
    const { identity } = await agent.status()
    expect(identity.rotation).toMatchObject({ state: 'rotated', deactivate: before?.certificateId })
    const certificateId = before?.certificateId ?? ''
    expect(identity.leftOver).toMatchObject([{ certificateId, why: 'deactivate' }])
    cloud.appliances.setCertificateStatus(certificateId, 'INACTIVE')
    cloud.iot.drop()
    dock.createJob('job-2', { operation: 'forget-certificates', certificateIds: [certificateId] })
    const forgotten = await dock.ended('job-2')
    expect(forgotten).toMatchObject({ status: 'SUCCEEDED', statusDetails: { forgotten: '1' } })
    expect((await agent.status()).identity.leftOver).toBeUndefined()
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
    await dock.startConnected()
  })

  test.concurrent.each(['', ', also when it is killed meanwhile'])(
    'goes back when the new certificate may not do what is needed%s, and names the orphan',
    async (killed) => {
      await using dock = await site()
      const { cloud } = dock
      const { rotation } = cloud.iot.provisioning.templateNames
      const [before] = cloud.iot.provisioning.certificates()
      cloud.iot.provisioning.setTemplate(rotation, { body: await withoutPolicies() })
      let agent = await dock.startConnected()
      dock.createJob('job-1', rotate)
      if (killed !== '') {
        await agent.until(
          ({ identity, connection }) => identity.rotation?.state === 'trial' && connection?.state === 'down',
        )
        agent.kill('SIGKILL')
        await agent.exited()
        agent = dock.start()
      }
      const { status, statusDetails } = await dock.ended('job-1', 90_000)

      const orphan = cloud.iot.provisioning.certificates().at(-1)?.certificateId ?? ''
      expect(orphan).not.toBe(before?.certificateId)
      expect(status).toBe('FAILED')
      expect(statusDetails['orphanCertificateId']).toBe(orphan)
      expect(statusDetails['reason']).toContain('not proven within 30 s')
      const { identity } = await agent.until(
        ({ connection, credentials: [held] }) => connection?.state === 'connected' && held?.state === 'ok',
      )
      expect(identity).toMatchObject({
        rotation: { state: 'failed', orphan },
        leftOver: [{ certificateId: orphan, why: 'orphan' }],
      })
      const isReported = (): boolean => JSON.stringify(reportedBy(dock)).includes(orphan)
      await waitUntil('the orphan in the shadow', isReported)
      expect(reportedBy(dock)).toMatchObject({
        certificate: { rotation: 'failed', orphan, leftOverCount: 1, leftOver: { [orphan]: 'orphan' } },
      })
      expect(cloud.iot.provisioning.certificates()).toHaveLength(2)
    },
  )

  test.concurrent.each(['before', 'after'])(
    'settles a registration whose answer got lost %s a kill of the agent',
    async (when) => {
      await using dock = await site()
      const { cloud, appliance } = dock
      cloud.iot.provisioning.dropNextAnswer('register-thing')
      const agent = await dock.startConnected()
      dock.createJob('job-1', rotate)
      if (when === 'after') {
        const note = join(appliance.stateFolder, 'identity', 'pending', 'pending.json')
        await waitUntil('it is asked for', async () =>
          (await readFile(note, 'utf8').catch(() => '')).includes('isAsked'),
        )
        agent.kill('SIGKILL')
        await agent.exited()
        dock.start()
      }
      expect((await dock.ended('job-1', 90_000)).status).toBe('SUCCEEDED')
      expect(cloud.iot.provisioning.certificates()).toHaveLength(2)
    },
  )

  test.concurrent('is there once a job has configured it', async () => {
    await using dock = await createJobsSite()
    await dock.startConnected()
    dock.createJob('job-1', { operation: 'configure', patch: { provisioning: {} } })
    expect((await dock.ended('job-1')).status).toBe('SUCCEEDED')
    dock.createJob('job-2', rotate)
    expect((await dock.ended('job-2')).status).toBe('SUCCEEDED')
  })

  test.concurrent('goes back when the new certificate gets credentials, but no connection', async () => {
    await using dock = await site()
    const { provisioning } = dock.cloud.iot
    const { version, statements } = dock.cloud.policies.iotDevicePolicy
    const mayAssume = statements.filter(({ actions }) => actions.includes('iot:AssumeRoleWithCertificate'))
    provisioning.createPolicy('credentials-alone', { version, statements: mayAssume })
    const body = await templateWith('credentials-alone')
    provisioning.setTemplate(provisioning.templateNames.rotation, { body })
    const agent = await dock.startConnected()
    dock.createJob('job-1', rotate)
    const { status, statusDetails } = await dock.ended('job-1', 90_000)
    expect(status).toBe('FAILED')
    expect(statusDetails['reason']).toMatch(/^not proven within 30 s: without an answer of AWS IoT Core/)
    expect(statusDetails['orphanCertificateId']).toBe(provisioning.certificates().at(-1)?.certificateId)
    const { identity } = await agent.until(({ connection }) => connection?.state === 'connected')
    expect(identity.origin).toBe('seed')
  })

  test.concurrent('is refused by the hook for another thing than its own, and nothing changes', async () => {
    await using dock = await site()
    const { provisioning } = dock.cloud.iot
    const { rotation } = provisioning.templateNames
    const body = await readTemplate(`provisioning/${rotation}`, {})
    const refusals: string[] = []
    const hook = createHandler({
      listThings: () => Promise.resolve({ things: ['panorama_another'] }),
      log: (line) => refusals.push(line),
    })
    provisioning.setTemplate(rotation, { body, hook })
    await dock.startConnected()
    dock.createJob('job-1', rotate)
    const { status, statusDetails } = await dock.ended('job-1')
    expect(status).toBe('FAILED')
    expect(statusDetails['reason']).toContain('403 AccessDenied')
    expect(refusals).toHaveLength(1)
    expect(refusals[0]).toContain('the certificate of the caller does not belong to the thing')
    expect(provisioning.certificates().filter(({ things }) => things.length > 0)).toHaveLength(1)
    provisioning.setTemplate(rotation, { body })
    dock.createJob('job-2', rotate)
    expect((await dock.ended('job-2')).status).toBe('SUCCEEDED')
    expect(provisioning.hookCalls.map(({ allowed }) => allowed)).toEqual([false, true])
  })
})

async function templateWith(policy: string): Promise<unknown> {
  const template = await readTemplate('provisioning/panorama-appliance-rotation', {})
  const change = (key: string, value: unknown): unknown => (key === 'PolicyName' ? policy : value)
  return JSON.parse(JSON.stringify(template, change)) as unknown
}

async function withoutPolicies(): Promise<unknown> {
  const url = new URL('../../config/cloud/provisioning/panorama-appliance-rotation.json', import.meta.url)
  const template: unknown = JSON.parse(await readFile(url, 'utf8'))
  return JSON.parse(
    JSON.stringify(template, (key, value: unknown) => (/policy/i.test(key) ? undefined : value)),
  ) as unknown
}

function reportedBy({ cloud }: JobsSite): unknown {
  return cloud.iot.shadows.get('panorama_dock-1', 'panorama-agent')?.state.reported ?? {}
}
