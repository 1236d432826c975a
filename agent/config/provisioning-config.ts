import * as z from 'zod'

import { absolutePath } from './config-text.ts'

/** AWS IoT API Reference, "CreateProvisioningTemplate". */
const templateName = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,36}$/, 'must be the name of a provisioning template: 1 to 36 characters of A-Z a-z 0-9 _ -')

const day = z.int().min(1).max(3_650)

export const provisioningSection = z
  .strictObject({
    template: templateName.default('panorama-appliance').describe('Of AWS IoT fleet provisioning by claim.'),
    claimCertificate: absolutePath.default('/etc/panorama-agent/claim/certificate.pem'),
    claimPrivateKey: absolutePath.default('/etc/panorama-agent/claim/private.key'),
    serialNumberFile: absolutePath
      .default('/var/lib/panorama-agent-serial/serial')
      .describe(
        'Filled by panorama-agent-serial.service. What it holds is the parameter SerialNumber of the template.',
      ),
    thingName: z
      .string()
      .max(64)
      .regex(/^[A-Za-z0-9:_-]*\{serial\}[A-Za-z0-9:_-]*$/, 'must hold {serial} once, beside A-Z a-z 0-9 : _ -')
      .default('panorama_{serial}')
      .describe('How the template names things; tried where the answer of AWS IoT got lost.'),
    parameters: z
      .record(z.string().regex(/^[A-Za-z0-9]{1,64}$/, 'must be the name of a parameter'), z.string().max(1024))
      .refine(
        (parameters) => !Object.hasOwn(parameters, 'SerialNumber'),
        'must not hold SerialNumber: the agent sets it',
      )
      .refine((parameters) => Object.keys(parameters).length <= 32, 'must be 32 at most')
      .default({})
      .describe('Of the template, beside SerialNumber.'),
    deleteClaim: z
      .boolean()
      .default(false)
      .describe(
        'Whether the claim is deleted once the identity is proven. It cannot be provisioned by claim again then.',
      ),
    rotationTemplate: templateName.optional().describe('Of the rotation. Default: that of the claim and -rotation.'),
    rotateBeforeDays: day
      .optional()
      .describe('Rotate the certificate that long before it ends, or at half of its life. Default: by job only.'),
  })
  .optional()
  .describe(
    'The appliance gets its identity by itself: device.thingName and the files of identity may then be left out.',
  )

type ProvisioningSection = NonNullable<z.output<typeof provisioningSection>>

/** The shipped template of the rotation is named after the one of the claim. */
export function rotationTemplateOf({ template, rotationTemplate }: ProvisioningSection): string {
  return rotationTemplate ?? `${template}-rotation`
}

interface Identified {
  readonly device: { readonly thingName?: string | undefined }
  readonly identity: { readonly certificate?: string | undefined; readonly privateKey?: string | undefined }
  readonly endpoints: { readonly mqtt?: string | undefined }
  readonly provisioning?: unknown
}

/** What may be left out where the appliance gets its identity by itself, and what may not. */
export function checkIdentified(
  { device, identity, endpoints, provisioning }: Identified,
  context: z.RefinementCtx,
): void {
  const { certificate, privateKey } = identity
  const isOnItsOwn = provisioning !== undefined && certificate === undefined && privateKey === undefined
  const missing = (path: readonly string[], why = ''): void => {
    context.addIssue({ code: 'custom', path: [...path], message: `is missing${why}` })
  }
  if (isOnItsOwn && endpoints.mqtt === undefined) missing(['endpoints', 'mqtt'], ': provisioning goes over it')
  if (isOnItsOwn) return
  if (device.thingName === undefined) missing(['device', 'thingName'])
  if (certificate === undefined) missing(['identity', 'certificate'])
  if (privateKey === undefined) missing(['identity', 'privateKey'])
}
