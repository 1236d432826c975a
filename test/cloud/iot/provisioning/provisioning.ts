import { joinPolicies, type Appliances, type DeviceCertificate, type ListedCertificate } from '../../appliances.ts'
import type { PolicyDocument } from '../../iam/policy-document.ts'
import type { DirectCaller } from '../direct-service.ts'
import { OwnershipTokens } from './ownership-tokens.ts'
import type { TemplateOptions } from './provisioning-admin.ts'
import { askHook, hookLimitMs, shippedHook, type HookEvent, type ProvisioningHook } from './provisioning-hook.ts'
import { accessDenied, invalidParameters, ProvisioningRejection } from './provisioning-rejection.ts'
import {
  evaluateTemplate,
  parseTemplate,
  templateNamePattern,
  type Override,
  type ProvisioningPlan,
  type ProvisioningTemplate,
} from './provisioning-template.ts'
import { keyOfSigningRequest } from './signing-request.ts'

export interface ProvisioningOptions {
  readonly account: string
  readonly region: string
  readonly now: () => number
  readonly appliances: Appliances
  readonly claimPolicy: PolicyDocument
  /** The IoT policies that templates may name. */
  readonly policies: ReadonlyMap<string, PolicyDocument>
}

export interface RegisterRequest {
  readonly templateName: string
  readonly token: string
  readonly parameters: Readonly<Record<string, string>>
  readonly caller: DirectCaller
}

interface Template {
  readonly document: ProvisioningTemplate
  readonly enabled: boolean
  readonly hook: ProvisioningHook | 'none'
}

/** Templates, claims, tokens and hooks of an account. */
export class Provisioning {
  readonly #options: ProvisioningOptions
  readonly #templates = new Map<string, Template>()
  readonly #policies: Map<string, PolicyDocument>
  readonly #pems = new Map<string, string>()
  readonly #tokens: OwnershipTokens
  readonly #hookCalls: { readonly event: HookEvent; readonly allowed: boolean }[] = []
  activationDelayMs = 0
  hookLimitMs = hookLimitMs

  constructor(options: ProvisioningOptions) {
    this.#options = options
    this.#policies = new Map(options.policies)
    this.#tokens = new OwnershipTokens(options.now)
  }

  get hookCalls(): readonly { readonly event: HookEvent; readonly allowed: boolean }[] {
    return this.#hookCalls
  }

  setTemplate(name: string, { body, enabled = true, hook }: TemplateOptions): void {
    if (!templateNamePattern.test(name)) throw new RangeError(`"${name}" is no name for a template`)
    const document = parseTemplate(body)
    this.#templates.set(name, { document, enabled, hook: hook ?? shippedHook(this.#options.appliances) })
  }

  createPolicy(name: string, document: PolicyDocument): void {
    this.#policies.set(name, document)
  }

  setTemplateEnabled(name: string, enabled: boolean): void {
    const template = this.#templates.get(name)
    if (template === undefined) throw new Error(`there is no template "${name}"`)
    this.#templates.set(name, { ...template, enabled })
  }

  async createClaim(): Promise<DeviceCertificate> {
    const { appliances, claimPolicy } = this.#options
    const claim = await appliances.createCertificate()
    appliances.setIotPolicy(claim.certificateId, claimPolicy)
    return claim
  }

  certificates(): readonly ListedCertificate[] {
    this.#expire()
    return this.#options.appliances.list()
  }

  /** CreateCertificateFromCsr. Throws a ProvisioningRejection. */
  async createCertificate(signingRequest: string, caller: DirectCaller): Promise<Readonly<Record<string, string>>> {
    this.#expire()
    const key = await keyOfSigningRequest(signingRequest)
    const { certificateId, certificatePem } = await this.#options.appliances.createPendingCertificate(key)
    this.#pems.set(certificateId, certificatePem)
    return { certificateId, certificatePem, certificateOwnershipToken: this.#tokens.issue(certificateId, caller) }
  }

  /** RegisterThing, all of it or nothing. Throws a ProvisioningRejection; rejects when the signal aborts. */
  async registerThing(request: RegisterRequest, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
    this.#expire()
    const { templateName, token, caller } = request
    const template = this.#templates.get(templateName)
    if (template === undefined) {
      throw new ProvisioningRejection(404, 'ResourceNotFound', `There is no template ${templateName}`)
    }
    const certificateId = this.#tokens.certificateOf(token, caller)
    if (!template.enabled) throw accessDenied()
    const overrides = await this.#askHook(template.hook, request, { certificateId, signal })
    signal.throwIfAborted()
    const plan = evaluateTemplate(template.document, { ...request.parameters, ...overrides }, certificateId)
    this.#tokens.certificateOf(token, caller) // the hook took its time: another request may have used it up
    this.#apply(plan)
    this.#tokens.useUp(token)
    return { deviceConfiguration: plan.deviceConfiguration, thingName: plan.thingName }
  }

  async #askHook(
    hook: Template['hook'],
    { templateName, parameters, caller }: RegisterRequest,
    { certificateId, signal }: { readonly certificateId: string; readonly signal: AbortSignal },
  ): Promise<Readonly<Record<string, string>>> {
    if (hook === 'none') return {}
    const { region, account } = this.#options
    const event: HookEvent = {
      claimCertificateId: caller.certificateId,
      certificateId,
      certificatePem: this.#pems.get(certificateId) ?? '',
      templateArn: `arn:aws:iot:${region}:${account}:provisioningtemplate/${templateName}`,
      clientId: caller.clientId,
      parameters,
    }
    const { allowed, parameterOverrides } = await askHook(hook, event, { signal, withinMs: this.hookLimitMs })
    this.#hookCalls.push({ event, allowed })
    if (!allowed) throw accessDenied()
    return parameterOverrides
  }

  #apply(plan: ProvisioningPlan): void {
    const { appliances } = this.#options
    const { certificateId, thingName } = plan
    const documents = plan.policyNames.map((name) => {
      const document = this.#policies.get(name)
      if (document === undefined) throw invalidParameters(`There is no policy ${name}`)
      return document
    })
    const change = { visibleAfterMs: this.activationDelayMs }
    const { thingTypeName, attributes } = thingAfter(plan, appliances)
    appliances.createThing(thingName, thingTypeName, attributes)
    appliances.setIotPolicy(certificateId, joinPolicies(documents), change)
    appliances.attach(thingName, certificateId, change)
    appliances.setCertificateStatus(certificateId, plan.certificateStatus, change)
    this.#pems.delete(certificateId)
  }

  #expire(): void {
    for (const certificateId of this.#tokens.expire()) {
      this.#pems.delete(certificateId)
      this.#options.appliances.deleteCertificate(certificateId)
    }
  }
}

/** What the thing is with the template applied to it. Throws a ProvisioningRejection where that has to fail. */
function thingAfter(
  { thingName, thingTypeName, attributes, overrides }: ProvisioningPlan,
  appliances: Appliances,
): Pick<ProvisioningPlan, 'thingTypeName' | 'attributes'> {
  const before = appliances.thingAttributes(thingName)
  if (before === undefined) return { thingTypeName, attributes }
  return {
    thingTypeName: chosen(overrides.thingTypeName, appliances.thingTypeName(thingName), thingTypeName),
    attributes:
      overrides.attributes === 'MERGE'
        ? { ...before, ...attributes }
        : chosen(overrides.attributes, before, attributes),
  }
}

function chosen<T>(override: Override, before: T, after: T): T {
  switch (override) {
    case 'DO_NOTHING':
      return before
    case 'REPLACE':
    case 'MERGE':
      return after
    case 'FAIL':
      throw new ProvisioningRejection(409, 'ResourceConflicts', 'The thing exists already')
  }
}
