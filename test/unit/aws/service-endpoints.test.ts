import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { ListSecretsCommand } from '@aws-sdk/client-secrets-manager'
import { DescribeLogGroupsCommand } from '@aws-sdk/client-cloudwatch-logs'
import { describe, expect, it } from 'vitest'

import { createAwsClients } from '../../../agent/aws/aws-clients.ts'
import { createCallerRole } from '../../../agent/aws/caller-role.ts'
import { ObservingRequestHandler } from '../../../agent/aws/request-handler.ts'
import { sdkCredentials } from '../../../agent/aws/sdk-credentials.ts'
import type { Config } from '../../../agent/config/config-schema.ts'
import { endpointsSection } from '../../../agent/config/endpoints-config.ts'

const never = new AbortController().signal
const accessPoint = 'arn:aws:s3:us-west-2:123456789012:accesspoint/panorama-demo'

/** Which hosts the clients would go to; nothing is sent. */
async function hostsWith(endpoints: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, string>>> {
  const hosts: string[] = []
  class Refusing extends ObservingRequestHandler {
    override handle(...[request]: Parameters<ObservingRequestHandler['handle']>): never {
      hosts.push(request.hostname)
      throw new Error('nothing is sent')
    }
  }
  const requestHandler = new Refusing({ trust: () => Promise.reject(new Error('no')), onDate: () => undefined })
  const parsed: Config['endpoints'] = endpointsSection.parse({ credentials: 'c1.example', ...endpoints })
  const common = { region: 'us-west-2', endpoints: parsed, requestHandler, clockOffsetMs: () => 0 }
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'x', sessionToken: 'y', lifetimeMs: 3_600_000 }
  using clients = createAwsClients({ ...common, credentials: sdkCredentials(() => Promise.resolve(credentials)) })
  await clients.s3.send(new ListObjectsV2Command({ Bucket: accessPoint })).catch(() => undefined)
  await clients.secretsManager.send(new ListSecretsCommand({})).catch(() => undefined)
  await clients.logs.send(new DescribeLogGroupsCommand({})).catch(() => undefined)
  await createCallerRole(common)(credentials, never).catch(() => undefined)
  const [s3 = '', secretsManager = '', logs = '', sts = ''] = [...new Set(hosts)]
  return { s3, secretsManager, logs, sts }
}

describe('services are asked', () => {
  it('at their IPv4 names as a rule', async () => {
    expect(await hostsWith({})).toEqual({
      s3: 'panorama-demo-123456789012.s3-accesspoint.us-west-2.amazonaws.com',
      secretsManager: 'secretsmanager.us-west-2.amazonaws.com',
      logs: 'logs.us-west-2.amazonaws.com',
      sts: 'sts.us-west-2.amazonaws.com',
    })
  })

  it('at names with IPv6 addresses where those are wanted', async () => {
    expect(await hostsWith({ dualStack: true })).toEqual({
      s3: 'panorama-demo-123456789012.s3-accesspoint.dualstack.us-west-2.amazonaws.com',
      secretsManager: 'secretsmanager.us-west-2.amazonaws.com', // has both anyway
      logs: 'logs.us-west-2.api.aws',
      sts: 'sts.us-west-2.api.aws',
    })
  })

  it('at VPC endpoints where those are named', async () => {
    const vpce = (service: string): string => `https://vpce-1a2b-3c4d.${service}.us-west-2.vpce.amazonaws.com`
    const endpoints = {
      s3: 'https://accesspoint.vpce-1a2b-3c4d.s3.us-west-2.vpce.amazonaws.com',
      secretsManager: vpce('secretsmanager'),
      logs: vpce('logs'),
      sts: vpce('sts'),
    }
    expect(await hostsWith(endpoints)).toEqual({
      s3: 'panorama-demo-123456789012.accesspoint.vpce-1a2b-3c4d.s3.us-west-2.vpce.amazonaws.com',
      secretsManager: 'vpce-1a2b-3c4d.secretsmanager.us-west-2.vpce.amazonaws.com',
      logs: 'vpce-1a2b-3c4d.logs.us-west-2.vpce.amazonaws.com',
      sts: 'vpce-1a2b-3c4d.sts.us-west-2.vpce.amazonaws.com',
    })
  })
})
