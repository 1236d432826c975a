import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CloudClock } from './cloud-clock.ts'
import { joinPolicies } from './appliances.ts'
import { startFrame, type CloudFrame, type FrameOptions } from './cloud-frame.ts'
import { loadCloudPolicies, type CloudPolicies } from './iam/cloud-policies.ts'
import { evaluatePolicies } from './iam/evaluate.ts'
import { createLogsService, type LogsAdmin } from './logs/logs-service.ts'
import { createS3Service, type S3Admin } from './s3/s3-service.ts'
import type { IssuedCredentials } from './sessions.ts'
import { createSecretsService, type SecretsAdmin } from './secrets/secrets-service.ts'

export interface CloudOptions {
  /** Default 123456789012. */
  readonly account?: string
  /** Default us-west-2. */
  readonly region?: string
  /** How far the cloud's time is ahead of this machine's. Default 0. */
  readonly timeOffsetMs?: number
  /** Default: any free ports. */
  readonly ports?: FrameOptions['ports'] | undefined
  /** Where the servers listen. Default 127.0.0.1. */
  readonly address?: FrameOptions['address']
  /** A customer managed key that the role may decrypt with. Default: none. */
  readonly kmsKeyArn?: string
  /** How many requests are remembered. Default 100,000. */
  readonly maxRecords?: FrameOptions['maxRecords']
}

/** What the account holds at the start. */
interface CloudNames {
  readonly role: string
  readonly roleAlias: string
  readonly bucket: string
  readonly accessPoint: string
  readonly accessPointArn: string
  /** For claims; the one for rotations is named like it, with `-rotation`. */
  readonly provisioningTemplate: string
}

/** The local stand-in for AWS. Disposing of it ends everything that it started and removes its files. */
export interface Cloud extends CloudFrame {
  readonly names: CloudNames
  /** Temporary; holds the objects of S3. */
  readonly folder: string
  /** The policies of `config/cloud/` with this cloud's names. */
  readonly policies: CloudPolicies
  readonly s3: S3Admin
  readonly secrets: SecretsAdmin
  readonly logs: LogsAdmin
  /** Adds a base role and a role chained to it, with an alias for the base role, for `role.assume`. */
  readonly createRoleChain: () => RoleChain
  /** Adds a role for an application, with an alias named like it that the certificate may ask for. */
  readonly createApplication: (options: ApplicationOptions) => Promise<ApplicationRole>
  /** Credentials of an operator who may publish artifacts and do nothing else, for an hour. */
  readonly signInPublisher: () => IssuedCredentials
}

interface RoleChain {
  readonly roleAlias: string
  /** The role that the base role may assume; it may do what AWSPanoramaApplianceServiceRole may. */
  readonly roleArn: string
}

interface ApplicationOptions {
  readonly name: string
  /** Of an appliance that runs it. */
  readonly certificateId: string
  /** Of the role alias; 900 to 43200. Default 3600. */
  readonly credentialDurationSeconds?: number
}

interface ApplicationRole {
  readonly roleAlias: string
  readonly roleArn: string
}

const baseRoleName = 'panorama-appliance-base'
const publisherName = 'panorama-publisher'
const chainedRoleName = 'panorama-appliance-chained'

/**
 * Starts a cloud as `config/cloud/` deploys it: the role AWSPanoramaApplianceServiceRole with its policies and nothing
 * else, the role alias panorama-appliance, a bucket that delegates to its access points, and one access point.
 */
export async function startCloud(options: CloudOptions = {}): Promise<Cloud> {
  const { account = '123456789012', region = 'us-west-2', timeOffsetMs = 0, ports = {}, address, kmsKeyArn } = options
  const { maxRecords } = options
  await using resources = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'local-cloud-'))
  resources.defer(() => rm(folder, { recursive: true, force: true }))
  const clock = new CloudClock(timeOffsetMs)
  const names = namesOf(account, region)
  const variables = variablesOf({ account, region, names, kmsKeyArn })
  const policies = await loadCloudPolicies(variables)
  const common = { account, region, now: clock.now }
  const s3 = createS3Service({ ...common, folder, evaluate: evaluatePolicies })
  const secrets = createSecretsService(common)
  const logs = createLogsService(common)
  const frame = await startFrame({
    ...common,
    clock,
    ports,
    address,
    maxRecords,
    services: [s3, secrets, logs],
    defaultIotPolicy: async (RoleAlias = names.roleAlias) => {
      const { iotDevicePolicy, iotRotationPolicy } = await loadCloudPolicies({ ...variables, RoleAlias })
      return joinPolicies([iotDevicePolicy, iotRotationPolicy])
    },
  })
  resources.use(frame)
  deploy({ frame, s3, names, policies })
  const owned = resources.move()
  return {
    ...frame,
    names,
    folder,
    policies,
    s3,
    secrets,
    logs,
    createApplication: async (application) => await deployApplication(frame, variables, application),
    createRoleChain: () => deployRoleChain(frame, policies),
    signInPublisher: () => signInPublisher(frame, policies),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function namesOf(account: string, region: string): CloudNames {
  const accessPoint = `panorama-${account}-demo`
  return {
    role: 'AWSPanoramaApplianceServiceRole',
    roleAlias: 'panorama-appliance',
    bucket: `panorama-${account}-artifacts`,
    accessPoint,
    accessPointArn: `arn:aws:s3:${region}:${account}:accesspoint/${accessPoint}`,
    provisioningTemplate: 'panorama-appliance',
  }
}

function variablesOf({
  account,
  region,
  names,
  kmsKeyArn,
}: {
  readonly account: string
  readonly region: string
  readonly names: CloudNames
  readonly kmsKeyArn: string | undefined
}): Readonly<Record<string, string>> {
  return {
    Account: account,
    Region: region,
    RoleName: names.role,
    RoleAlias: names.roleAlias,
    BaseRoleName: baseRoleName,
    ChainedRoleName: chainedRoleName,
    BucketName: names.bucket,
    AccessPointName: names.accessPoint,
    ProvisioningTemplate: names.provisioningTemplate,
    ...applicationVariables('application'),
    ...(kmsKeyArn === undefined ? {} : { KmsKeyArn: kmsKeyArn }),
  }
}

function deploy({
  frame,
  s3,
  names,
  policies,
}: {
  readonly frame: CloudFrame
  readonly s3: S3Admin
  readonly names: CloudNames
  readonly policies: CloudPolicies
}): void {
  const { roles, roleAliases } = frame
  roles.put({ name: names.role, trustPolicy: policies.applianceRoleTrust, policies: policies.applianceRolePolicies })
  roleAliases.put({ name: names.roleAlias, roleArn: roles.arnOf(names.role) })
  s3.createBucket(names.bucket, { policy: policies.bucketPolicy })
  s3.createAccessPoint({ name: names.accessPoint, bucket: names.bucket, policy: policies.accessPointPolicy })
}

function signInPublisher({ roles, sessions }: CloudFrame, policies: CloudPolicies): IssuedCredentials {
  const trustPolicy = policies.baseRoleTrust // nobody assumes it here: the session is as of a person who signed in
  roles.put({ name: publisherName, trustPolicy, policies: [policies.publisherPolicy] })
  return sessions.issue({ roleName: publisherName, sessionName: 'operator', durationSeconds: 3600, context: {} })
}

function applicationVariables(name: string): Readonly<Record<string, string>> {
  return { ApplicationName: name, ApplicationRoleAlias: name, ResultsBucketName: 'panorama-results' }
}

async function deployApplication(
  { roles, roleAliases, appliances }: CloudFrame,
  variables: Readonly<Record<string, string>>,
  { name, certificateId, credentialDurationSeconds = 3600 }: ApplicationOptions,
): Promise<ApplicationRole> {
  const policies = await loadCloudPolicies({ ...variables, ...applicationVariables(name) })
  const roleName = `application-${name}`
  const trustPolicy = policies.applianceRoleTrust
  roles.put({ name: roleName, trustPolicy, policies: [policies.applicationRolePolicy] })
  roleAliases.put({ name, roleArn: roles.arnOf(roleName), credentialDurationSeconds })
  appliances.addIotPolicy(certificateId, policies.iotApplicationPolicy)
  return { roleAlias: name, roleArn: roles.arnOf(roleName) }
}

function deployRoleChain({ roles, roleAliases }: CloudFrame, policies: CloudPolicies): RoleChain {
  roles.put({ name: baseRoleName, trustPolicy: policies.baseRoleTrust, policies: policies.baseRolePolicies })
  roles.put({ name: chainedRoleName, trustPolicy: policies.chainedRoleTrust, policies: policies.applianceRolePolicies })
  roleAliases.put({ name: baseRoleName, roleArn: roles.arnOf(baseRoleName) })
  return { roleAlias: baseRoleName, roleArn: roles.arnOf(chainedRoleName) }
}
