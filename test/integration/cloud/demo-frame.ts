import { CloudClock } from '../../cloud/cloud-clock.ts'
import { startFrame, type CloudFrame } from '../../cloud/cloud-frame.ts'
import type { CloudService, ServiceContext } from '../../cloud/contract.ts'
import type { PolicyDocument } from '../../cloud/iam/policy-document.ts'

export const account = '123456789012'
export const region = 'us-west-2'
export const alias = 'panorama-appliance'
export const roleName = 'AWSPanoramaApplianceServiceRole'
export const thingName = 'panorama_dock-1_Thing_a01e373b'

/** Lets the credentials provider assume a role. */
export const trustProvider: PolicyDocument = policy({
  principals: { Service: ['credentials.iot.amazonaws.com'] },
  actions: ['sts:AssumeRole'],
})

export interface DemoFrame extends CloudFrame {
  /** What the demo service was called with, oldest first. */
  readonly calls: readonly ServiceContext[]
}

/** A frame with one role, its alias, and a service at logs.localhost that answers every action with a kilobyte. */
export async function startDemoFrame(timeOffsetMs = 0): Promise<DemoFrame> {
  const calls: ServiceContext[] = []
  const frame = await startFrame({
    account,
    region,
    clock: new CloudClock(timeOffsetMs),
    services: [demoService(calls)],
    defaultIotPolicy: (allowed = alias) => Promise.resolve(allowAlias(allowed)),
  })
  frame.roles.put({ name: roleName, trustPolicy: trustProvider, policies: [] })
  frame.roleAliases.put({ name: alias, roleArn: frame.roles.arnOf(roleName) })
  return { ...frame, calls }
}

export function allowAlias(name: string): PolicyDocument {
  return policy({
    actions: ['iot:AssumeRoleWithCertificate'],
    resources: [`arn:aws:iot:${region}:${account}:rolealias/${name}`],
  })
}

/** A policy of one Allow without conditions, unless told otherwise. */
export function policy(
  statement: Partial<PolicyDocument['statements'][number]> & { readonly actions: readonly string[] },
): PolicyDocument {
  return { version: '2012-10-17', statements: [{ effect: 'Allow', conditions: [], ...statement }] }
}

function demoService(calls: ServiceContext[]): CloudService {
  return {
    name: 'logs',
    serves: (host) => host === 'logs.localhost',
    actionOf: ({ headers }) => headers['x-amz-target']?.split('.')[1] ?? 'Unknown',
    handle: ({ headers }, context) => {
      calls.push(context)
      if (headers['x-amz-target']?.endsWith('.Crash') === true) throw new TypeError('a defect on purpose')
      const body = JSON.stringify({ logGroups: [], padding: '.'.repeat(1000) })
      return Promise.resolve({ status: 200, headers: { 'content-type': 'application/x-amz-json-1.1' }, body })
    },
    formatFault: ({ status, code, message }) => ({
      status,
      headers: { 'content-type': 'application/x-amz-json-1.1' },
      body: JSON.stringify({ __type: code, message }),
    }),
  }
}
