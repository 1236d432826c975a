import { z } from 'zod'

import { isThingName, type ThingAttributes } from '../../appliances.ts'
import { invalidParameters } from './provisioning-rejection.ts'

/** What is to become of a property that the thing has already ("Provisioning templates", override settings). */
export type Override = 'DO_NOTHING' | 'REPLACE' | 'MERGE' | 'FAIL'

/** What a template comes to for one request. */
export interface ProvisioningPlan {
  readonly thingName: string
  readonly thingTypeName: string | undefined
  readonly attributes: ThingAttributes
  readonly overrides: { readonly attributes: Override; readonly thingTypeName: Override }
  readonly certificateId: string
  readonly certificateStatus: 'ACTIVE' | 'INACTIVE'
  readonly policyNames: readonly string[]
  readonly deviceConfiguration: Readonly<Record<string, string>>
}

type Value = string | { readonly Ref: string } | { readonly 'Fn::Join': readonly [string, readonly Value[]] }

const value: z.ZodType<Value> = z.union([
  z.string(),
  z.strictObject({ Ref: z.string() }),
  z.strictObject({
    get 'Fn::Join'() {
      return z.tuple([z.string(), z.array(value)])
    },
  }),
])
const parameter = z.strictObject({ Type: z.literal('String'), Default: z.string().optional() })
const override = z.enum(['DO_NOTHING', 'REPLACE', 'FAIL'])
const mergeable = z.enum(['DO_NOTHING', 'REPLACE', 'MERGE', 'FAIL'])
const resource = z.discriminatedUnion('Type', [
  z.strictObject({
    Type: z.literal('AWS::IoT::Certificate'),
    Properties: z.strictObject({ CertificateId: value, Status: z.enum(['ACTIVE', 'INACTIVE']).default('ACTIVE') }),
  }),
  z.strictObject({ Type: z.literal('AWS::IoT::Policy'), Properties: z.strictObject({ PolicyName: value }) }),
  z.strictObject({
    Type: z.literal('AWS::IoT::Thing'),
    Properties: z.strictObject({
      ThingName: value,
      ThingTypeName: value.optional(),
      AttributePayload: z.record(z.string().regex(/^[a-zA-Z0-9_.,@/:#-]{1,128}$/), value).default({}),
    }),
    OverrideSettings: z
      .strictObject({
        AttributePayload: mergeable.default('REPLACE'),
        ThingTypeName: override.default('REPLACE'),
        ThingGroups: mergeable.default('REPLACE'),
      })
      .prefault({}),
  }),
])
const templateDocument = z.strictObject({
  Parameters: z.record(z.string(), parameter),
  Resources: z.record(z.string(), resource),
  DeviceConfiguration: z.record(z.string(), value).default({}),
})

export type ProvisioningTemplate = z.output<typeof templateDocument>
type Resource = z.output<typeof resource>
type Resolve = (value: Value) => string

/** The name of a template ("CreateProvisioningTemplate"). */
export const templateNamePattern = /^[0-9A-Za-z_-]{1,36}$/

const maxTemplateLength = 10_240
const certificateParameter = 'AWS::IoT::Certificate::Id'

/**
 * Reads a fleet provisioning template. The local cloud knows Ref and Fn::Join, and neither thing groups, billing groups
 * nor policies in the template itself: throws an Error that names what it does not know. Where the template is silent
 * about a thing that there is already, AWS is too; the stricter reading is REPLACE, by which its attributes are lost.
 */
export function parseTemplate(body: unknown): ProvisioningTemplate {
  if (JSON.stringify(body).length > maxTemplateLength) throw new Error('the template is longer than 10,240 characters')
  const parsed = templateDocument.safeParse(body)
  if (!parsed.success) throw new Error(`the template is not known whole: ${z.prettifyError(parsed.error)}`)
  const resources = Object.values(parsed.data.Resources)
  for (const type of ['AWS::IoT::Certificate', 'AWS::IoT::Thing']) {
    if (resources.filter(({ Type }) => Type === type).length !== 1) throw new Error(`the template needs one ${type}`)
  }
  return parsed.data
}

/**
 * What the template comes to with these parameters of a request. Throws a ProvisioningRejection for one that is missing
 * or (AWS does not say; the stricter reading) not declared, and for a name that no thing can have.
 */
export function evaluateTemplate(
  template: ProvisioningTemplate,
  parameters: Readonly<Record<string, string>>,
  certificateId: string,
): ProvisioningPlan {
  const declared = Object.keys(template.Parameters)
  const stray = Object.keys(parameters).find((name) => name === certificateParameter || !declared.includes(name))
  if (stray !== undefined) throw invalidParameters(`The template has no parameter ${stray}`)
  const defaults = Object.entries(template.Parameters).map(([name, { Default }]) => [name, Default] as const)
  const given = Object.entries({ ...parameters, [certificateParameter]: certificateId })
  const resolve = resolver(new Map([...defaults, ...given]))
  for (const name of declared) resolve({ Ref: name })
  const resources = Object.values(template.Resources)
  return {
    ...thingOf(resources, resolve),
    ...certificateOf(resources, resolve),
    policyNames: resources.flatMap((each) =>
      each.Type === 'AWS::IoT::Policy' ? [resolve(each.Properties.PolicyName)] : [],
    ),
    deviceConfiguration: resolveAll(template.DeviceConfiguration, resolve),
  }
}

function resolver(parameters: ReadonlyMap<string, string | undefined>): Resolve {
  const resolve: Resolve = (part) => {
    if (typeof part === 'string') return part
    if ('Fn::Join' in part) return part['Fn::Join'][1].map(resolve).join(part['Fn::Join'][0])
    const found = parameters.get(part.Ref)
    if (found === undefined) throw invalidParameters(`The parameter ${part.Ref} is missing`)
    return found
  }
  return resolve
}

function thingOf(
  resources: readonly Resource[],
  resolve: Resolve,
): Pick<ProvisioningPlan, 'thingName' | 'thingTypeName' | 'attributes' | 'overrides'> {
  const thing = resources.find((each) => each.Type === 'AWS::IoT::Thing')
  if (thing === undefined) throw new Error('a template that was read has a thing')
  const { Properties, OverrideSettings } = thing
  const thingName = resolve(Properties.ThingName)
  if (!isThingName(thingName)) throw invalidParameters(`"${thingName}" is no name for a thing`)
  return {
    thingName,
    thingTypeName: Properties.ThingTypeName === undefined ? undefined : resolve(Properties.ThingTypeName),
    attributes: resolveAll(Properties.AttributePayload, resolve),
    overrides: { attributes: OverrideSettings.AttributePayload, thingTypeName: OverrideSettings.ThingTypeName },
  }
}

function certificateOf(
  resources: readonly Resource[],
  resolve: Resolve,
): Pick<ProvisioningPlan, 'certificateId' | 'certificateStatus'> {
  const certificate = resources.find((each) => each.Type === 'AWS::IoT::Certificate')
  if (certificate === undefined) throw new Error('a template that was read has a certificate')
  const { CertificateId, Status } = certificate.Properties
  return { certificateId: resolve(CertificateId), certificateStatus: Status }
}

function resolveAll(values: Readonly<Record<string, Value>>, resolve: Resolve): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).map(([name, part]) => [name, resolve(part)]))
}
