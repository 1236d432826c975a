import type { Cloud } from '../../cloud.ts'
import { readTemplate } from '../../iam/cloud-policies.ts'
import type { ProvisioningAdmin } from './provisioning-admin.ts'
import { ProvisioningFaults } from './provisioning-faults.ts'
import { ProvisioningService } from './provisioning-service.ts'
import { Provisioning } from './provisioning.ts'

interface OpenProvisioning {
  readonly service: ProvisioningService
  readonly admin: ProvisioningAdmin
}

/** Fleet provisioning as `config/cloud/provisioning/` deploys it, under the names that its README has. */
export async function openProvisioning(cloud: Cloud): Promise<OpenProvisioning> {
  const { account, region, now, appliances, policies, names } = cloud
  const claim = names.provisioningTemplate
  const rotation = `${claim}-rotation`
  const provisioning = new Provisioning({
    account,
    region,
    now,
    appliances,
    claimPolicy: policies.iotClaimPolicy,
    policies: new Map([
      ['panorama-appliance', policies.iotDevicePolicy],
      ['panorama-appliance-rotation', policies.iotRotationPolicy],
    ]),
  })
  for (const name of [claim, rotation]) {
    provisioning.setTemplate(name, { body: await readTemplate(`provisioning/${name}`, {}) })
  }
  const faults = new ProvisioningFaults()
  return {
    service: new ProvisioningService({ account: cloud, provisioning, faults }),
    admin: administer(provisioning, faults, { claim, rotation }),
  }
}

function administer(
  provisioning: Provisioning,
  faults: ProvisioningFaults,
  templateNames: ProvisioningAdmin['templateNames'],
): ProvisioningAdmin {
  return {
    templateNames,
    createClaim: () => provisioning.createClaim(),
    certificates: () => provisioning.certificates(),
    setTemplate: (name, template) => {
      provisioning.setTemplate(name, template)
    },
    createPolicy: (name, document) => {
      provisioning.createPolicy(name, document)
    },
    setTemplateEnabled: (name, enabled) => {
      provisioning.setTemplateEnabled(name, enabled)
    },
    dropNextAnswer: (action, count) => {
      faults.dropNextAnswer(action, count)
    },
    failNext: (action, refusal, count) => {
      faults.failNext(action, refusal, count)
    },
    get activationDelayMs() {
      return provisioning.activationDelayMs
    },
    set activationDelayMs(delayMs) {
      provisioning.activationDelayMs = delayMs
    },
    get hookLimitMs() {
      return provisioning.hookLimitMs
    },
    set hookLimitMs(limitMs) {
      provisioning.hookLimitMs = limitMs
    },
    get hookCalls() {
      return provisioning.hookCalls
    },
  }
}
