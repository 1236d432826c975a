import { z } from 'zod'

import type { ListedCertificate } from '../appliances.ts'
import type { Cloud } from '../cloud.ts'
import type { IotAdmin } from './iot-cloud.ts'
import { notFound } from './shadows/shadows.ts'

/** What of a cloud can be handled from outside. */
export type Controlled = Pick<IotAdmin, 'jobs' | 'shadows' | 'drop'> &
  Pick<Cloud, 'signInPublisher'> & {
    readonly provisioning: Pick<
      IotAdmin['provisioning'],
      'createClaim' | 'certificates' | 'setTemplateEnabled' | 'activationDelayMs'
    >
    readonly appliances: Pick<Cloud['appliances'], 'setCertificateStatus'>
  }

/** What another process may ask of a cloud that runs: one JSON object, posted. */
export const cloudCommand = z.discriminatedUnion('command', [
  z.strictObject({
    command: z.literal('create'),
    jobId: z.string(),
    targets: z.array(z.string()),
    document: z.string(),
    inProgressTimeoutInMinutes: z.number().optional(),
  }),
  z.strictObject({ command: z.literal('cancel'), jobId: z.string(), force: z.boolean() }),
  z.strictObject({
    command: z.literal('cancel-execution'),
    jobId: z.string(),
    thingName: z.string(),
    force: z.boolean(),
  }),
  z.strictObject({ command: z.literal('list') }),
  z.strictObject({ command: z.literal('get-shadow'), thingName: z.string(), shadowName: z.string() }),
  z.strictObject({ command: z.literal('create-claim') }),
  z.strictObject({ command: z.literal('list-certificates') }),
  z.strictObject({
    command: z.literal('set-certificate-status'),
    certificateId: z.string(),
    status: z.enum(['ACTIVE', 'INACTIVE']),
  }),
  z.strictObject({ command: z.literal('delay-certificates'), seconds: z.number() }),
  z.strictObject({ command: z.literal('set-template'), template: z.string(), enabled: z.boolean() }),
  z.strictObject({ command: z.literal('sign-in-publisher') }),
])

export type CloudCommand = z.infer<typeof cloudCommand>

/** Does a command, and answers with what can be said in JSON. Throws what the part of the cloud throws. */
export async function obey(cloud: Controlled, command: CloudCommand): Promise<unknown> {
  const { jobs, provisioning, shadows } = cloud
  switch (command.command) {
    case 'create': {
      const { jobId, targets, document, inProgressTimeoutInMinutes: minutes } = command
      jobs.createJob({
        jobId,
        targets,
        document,
        ...(minutes === undefined ? {} : { inProgressTimeoutInMinutes: minutes }),
      })
      return { jobId }
    }
    case 'cancel':
      jobs.cancelJob(command.jobId, { force: command.force })
      return { jobId: command.jobId, inProgress: thingsInProgress(jobs, command.jobId) }
    case 'cancel-execution': {
      const { jobId, thingName, force } = command
      jobs.cancelExecution(thingName, jobId, { force })
      return { jobId, thingName }
    }
    case 'list':
      return { jobs: jobs.listJobs() }
    case 'get-shadow': {
      const { thingName, shadowName } = command
      const shadow = shadows.get(thingName, shadowName)
      if (shadow === undefined) throw notFound(thingName, shadowName)
      return shadow
    }
    case 'create-claim':
      return await provisioning.createClaim()
    case 'list-certificates':
      return { certificates: provisioning.certificates() }
    case 'set-certificate-status':
      return setCertificateStatus(cloud, command)
    case 'delay-certificates':
      provisioning.activationDelayMs = command.seconds * 1_000
      return { seconds: command.seconds }
    case 'set-template': {
      const { template, enabled } = command
      provisioning.setTemplateEnabled(template, enabled)
      return { template, enabled }
    }
    case 'sign-in-publisher':
      return cloud.signInPublisher()
  }
}

/** UpdateCertificate. AWS ends the connections of one that is no longer active within minutes; here it is at once. */
function setCertificateStatus(
  { appliances, provisioning, drop }: Controlled,
  { certificateId, status }: Extract<CloudCommand, { readonly command: 'set-certificate-status' }>,
): ListedCertificate | undefined {
  appliances.setCertificateStatus(certificateId, status)
  const certificate = provisioning.certificates().find((listed) => listed.certificateId === certificateId)
  if (status !== 'ACTIVE') for (const thing of certificate?.things ?? []) drop(thing)
  return certificate
}

function thingsInProgress(jobs: IotAdmin['jobs'], jobId: string): readonly string[] {
  const executions = jobs.listJobs().find((job) => job.jobId === jobId)?.executions ?? []
  return executions.filter(({ status }) => status === 'IN_PROGRESS').map(({ thingName }) => thingName)
}
