import { Agent } from 'node:https'

import { NodeHttpHandler } from '@smithy/node-http-handler'

import type { CloudFrame } from '../../cloud/cloud-frame.ts'
import type { DeviceCredentials } from './credentials-client.ts'

export interface SdkOptions {
  readonly region: string
  readonly endpoint: string
  readonly credentials: DeviceCredentials
  readonly maxAttempts: number
  readonly requestHandler: NodeHttpHandler
}

/**
 * What every SDK client needs to talk to the local cloud; `destroy()` of the client closes its connections. An Agent
 * instance, because the handler's own agents lose `lookup` for requests with Expect: 100-continue.
 */
export function sdkOptions(
  { rootCaPem, lookup, region }: CloudFrame,
  credentials: DeviceCredentials,
  endpoint: string,
): SdkOptions {
  return {
    region,
    endpoint,
    credentials,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({
      httpsAgent: new Agent({ ca: rootCaPem, lookup, keepAlive: true }),
      connectionTimeout: 5_000,
      socketTimeout: 10_000,
    }),
  }
}
