import { expect, it } from 'vitest'

import { isUnprovisioned } from '../../agent/status/render-unprovisioned.ts'
import type { StatusReport } from '../../agent/status/status-document.ts'
import { readTemplate } from '../cloud/iam/cloud-policies.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProvisioningSite, type ProvisioningSite } from '../support/provisioning-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const isProvisioned = (report: StatusReport): boolean => !isUnprovisioned(report)

it.skipIf(await lacksMosquitto('the proof of an identity'))(
  'is no thing that works while its certificate connects and gets no credentials; the template gets its parameters',
  async () => {
    await using site = await createProvisioningSite({ provisioning: { parameters: { Site: 'north' } } })
    await takeParameterAndLetNothingButConnect(site)
    const { provisioning } = site.cloud.iot
    site.start()
    const refused = (): boolean =>
      site.cloud.requests.list({ service: 'credentials' }).some((each) => each.status === 403)
    await waitUntil('a refusal of credentials', refused)
    const report = await site.status()
    expect(isUnprovisioned(report) && report.provisioning.step).toBe('prove')
    expect(provisioning.hookCalls.map(({ event }) => event.parameters)).toEqual([
      { Site: 'north', SerialNumber: 'SN-1' },
    ])
    expect(site.cloud.appliances.thingAttributes(site.thingName)).toMatchObject({ site: 'north' })
    const id = provisioning.certificates().at(-1)?.certificateId ?? ''
    site.cloud.appliances.setIotPolicy(id, site.cloud.policies.iotDevicePolicy)
    await site.until('an identity', isProvisioned)
    expect(site.things()).toEqual([site.thingName])
  },
)

async function takeParameterAndLetNothingButConnect({ cloud }: ProvisioningSite): Promise<void> {
  const { provisioning } = cloud.iot
  const { version, statements } = cloud.policies.iotDevicePolicy
  const others = statements.filter(({ actions }) => !actions.includes('iot:AssumeRoleWithCertificate'))
  provisioning.createPolicy('no-credentials', { version, statements: others })
  const name = provisioning.templateNames.claim
  const template = JSON.stringify(await readTemplate(`provisioning/${name}`, {}), (key, value: unknown) => {
    switch (key) {
      case 'PolicyName':
        return 'no-credentials'
      case 'Parameters':
        return { ...Object(value), Site: { Type: 'String' } } as unknown
      case 'AttributePayload':
        return typeof value === 'object' ? ({ ...value, site: { Ref: 'Site' } } as unknown) : value
      default:
        return value
    }
  })
  provisioning.setTemplate(name, { body: JSON.parse(template) as unknown })
}
