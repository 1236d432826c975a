import { createPublicKey } from 'node:crypto'

import * as z from 'zod'

import { applicationCredentialsSection, applicationsSection, checkApplications } from './applications-config.ts'
import { camerasSection } from './cameras-config.ts'
import { absolutePath, fileName, hookName, roleAlias } from './config-text.ts'
import { endpointsSection } from './endpoints-config.ts'
import { logsSection } from './logs-config.ts'
import { metricsSection } from './metrics-config.ts'
import { networkSection } from './network-config.ts'
import { checkIdentified, provisioningSection } from './provisioning-config.ts'
import { uniqueNames } from './unique-names.ts'

/** The configuration file, design decisions included: units in names, every default here, floors and ceilings. */

export const defaultStateFolder = '/var/lib/panorama-agent'
export const defaultRuntimeFolder = '/run/panorama-agent'

const accessPointArn = z
  .string()
  .regex(
    /^arn:aws[a-z-]*:s3:[a-z0-9-]+:\d{12}:accesspoint[/:][a-z0-9][a-z0-9-]{1,48}[a-z0-9]$/,
    'must be the ARN of an S3 access point: arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME',
  )

const withinSeconds = z
  .int()
  .min(5)
  .max(86_400)
  .default(300)
  .describe('A release that is not healthy by then is not; the one before is current again.')

const health = z
  .union([
    z.strictObject({
      hook: hookName.describe(
        'Healthy when /etc/panorama-agent/hooks/<hook> exits with 0. Root runs it: see REQUESTS TO ROOT.',
      ),
      withinSeconds,
    }),
    z.strictObject({
      file: absolutePath.describe('Healthy when the application has touched this file after the switch.'),
      withinSeconds,
    }),
  ])
  .describe('What a release has to say after the switch to it, to stay.')
const trustedKey = z
  .string()
  .max(4096)
  .refine((text) => text.startsWith('/') || isPublicKey(text), {
    error: 'must be a P-256 or Ed25519 public key in PEM, or the absolute path of a file with one',
  })
  .describe('A public key (openssl pkey -in KEY -pubout) in PEM, or the absolute path of a file with one.')

const artifact = z.strictObject({
  name: fileName.describe('The folder below <state>/artifacts.'),
  accessPoint: accessPointArn,
  prefix: z
    .string()
    .max(512)
    .regex(/^([^/].*\/)?$/, 'must be empty or end with / and not start with one')
    .default('')
    .describe('Only keys below it are synced; file names are what follows it.'),
  pollSeconds: z.int().min(10).max(86_400).default(300),
  keepReleases: z.int().min(1).max(10).default(2).describe('How many releases stay on disk, the current one included.'),
  health: health.optional(),
  trustedKeys: z
    .array(trustedKey)
    .max(8)
    .default([])
    .describe('With keys, only manifests are installed that one of them signed. Two keys allow a rotation.'),
  maxStoreBytes: z
    .int()
    .min(0)
    .optional()
    .describe('How much content that no kept release needs may stay, so that going back to it costs no download.'),
})

const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day: HH:MM')

const downloadWindow = z
  .strictObject({ from: timeOfDay, to: timeOfDay })
  .refine(({ from, to }) => from !== to, 'must not begin when it ends; leave windows out to download at any time')

const downloads = z.strictObject({
  maxBytesPerSecond: z.int().min(1024).optional().describe('For all artifacts together. Default: as fast as it goes.'),
  windows: z
    .array(downloadWindow)
    .max(24)
    .default([])
    .describe("Downloads begin only inside of one, by the device's clock and time zone; one may reach over midnight."),
  minFreeBytes: z
    .int()
    .min(0)
    .default(268_435_456)
    .describe('What has to stay free on the file system of the state folder, temporary files counted.'),
  maxInFlightBytes: z
    .int()
    .min(8_388_608)
    .max(1_073_741_824)
    .default(67_108_864)
    .describe('What all downloads together may have asked for and not on the disk yet.'),
})

const configFields = z.strictObject({
  $schema: z.string().optional().describe('For editors; not used.'),
  device: z.strictObject({
    thingName: z
      .string()
      .regex(/^[A-Za-z0-9:_-]{1,128}$/, 'must be 1 to 128 characters of A-Z a-z 0-9 : _ -')
      .optional()
      .describe('May be left out where there is "provisioning".'),
    id: z
      .string()
      .regex(/^[A-Za-z0-9._/#-]{1,256}$/, 'must be 1 to 256 characters of A-Z a-z 0-9 . _ / # -')
      .optional()
      .describe('Used in log group names. Default: the thing name, with - for what may not stand there.'),
    name: z
      .string()
      .regex(/^[A-Za-z0-9._/#-]{1,256}$/, 'must be 1 to 256 characters of A-Z a-z 0-9 . _ / # -')
      .optional()
      .describe('For people. Default: as that of id.'),
    region: z.string().regex(/^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$/, 'must be an AWS region, such as us-west-2'),
  }),
  identity: z.strictObject({
    certificate: absolutePath.optional().describe('May be left out where there is "provisioning".'),
    privateKey: absolutePath.optional().describe('That of the certificate.'),
    rootCa: absolutePath.describe('One or more root certificates in PEM.'),
  }),
  endpoints: endpointsSection,
  role: z.strictObject({
    alias: roleAlias,
    assume: z
      .strictObject({
        roleArn: z
          .string()
          .regex(/^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/, 'must be the ARN of an IAM role'),
      })
      .optional()
      .describe('The alias then leads to a base role that may only assume this one.'),
  }),
  artifacts: z.array(artifact).max(100).default([]).superRefine(uniqueNames),
  downloads: downloads.prefault({}).describe('What the downloads of all artifacts keep to together.'),
  cameras: camerasSection,
  logs: logsSection,
  metrics: metricsSection,
  jobs: z
    .strictObject({
      keepAliveSeconds: z.int().min(30).max(1_200).default(60).describe('Of the MQTT connection.'),
    })
    .prefault({})
    .describe('AWS IoT Jobs and the reported state, over endpoints.mqtt; without that there are none.'),
  provisioning: provisioningSection,
  network: networkSection,
  applications: applicationsSection,
  applicationCredentials: applicationCredentialsSection,
  paths: z
    .strictObject({
      state: absolutePath.default(defaultStateFolder),
      runtime: absolutePath
        .max(90, 'must be at most 90 characters, because of the socket in it')
        .default(defaultRuntimeFolder),
    })
    .prefault({}),
})

/** Of an appliance that may not have an identity yet. */
export const unprovisionedSchema = configFields.superRefine(checkApplications).superRefine(checkIdentified)

export const configSchema = unprovisionedSchema.transform(({ device, ...rest }, context) => {
  const { thingName } = device
  if (thingName !== undefined) return { ...rest, device: { ...device, thingName } }
  context.addIssue({
    code: 'custom',
    path: ['device', 'thingName'],
    message: 'is missing: this is not provisioned yet',
  })
  return z.NEVER
})

/** A configuration with every default filled in, of an appliance that has an identity. */
export type Config = Readonly<z.infer<typeof configSchema>>
/** A configuration with every default filled in, of an appliance that may not have an identity yet. */
export type UnprovisionedConfig = Readonly<z.infer<typeof unprovisionedSchema>>
export type ProvisioningConfig = NonNullable<Config['provisioning']>
export type ArtifactConfig = Config['artifacts'][number]
export type CameraConfig = Config['cameras']['streams'][number]
export type ApplicationConfig = Config['applications'][number]

function isPublicKey(pem: string): boolean {
  if (pem.includes('PRIVATE KEY')) return false
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPublicKey(pem)
    return asymmetricKeyType === 'ed25519' || asymmetricKeyDetails?.namedCurve === 'prime256v1'
  } catch {
    return false
  }
}
