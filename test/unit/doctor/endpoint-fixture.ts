import type { Endpoint } from '../../../agent/doctor/endpoint.ts'

/** An endpoint of a service. */
export function endpoint(more: Partial<Endpoint> = {}): Endpoint {
  return {
    key: 'logs',
    name: 'Logs',
    host: 'logs.us-west-2.amazonaws.com',
    port: 443,
    isTls: true,
    trustsRootCaOnly: false,
    isMqtt: false,
    ...more,
  }
}
