import * as z from 'zod'

const hostPort = z
  .string()
  .regex(/^([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?$/, {
    error: 'must be host or host:port, without a scheme; an IPv6 address stands in brackets',
    abort: true,
  })
  .refine((text) => URL.canParse(`https://${text}`), 'must be a host name or an address, and a port up to 65535')
  .describe('A host name, or an IPv6 address in brackets, with an optional port.')

const serviceUrl = z
  .url({ protocol: /^https?$/ })
  .refine(isHttpsOrLoopback, 'must be https, or http to a loopback address')
  .describe('Replaces the endpoint of one service: a VPC endpoint, or a test.')

export const endpointsSection = z
  .strictObject({
    credentials: hostPort.describe('aws iot describe-endpoint --endpoint-type iot:CredentialProvider'),
    mqtt: hostPort.optional().describe('aws iot describe-endpoint --endpoint-type iot:Data-ATS'),
    s3: serviceUrl.optional(),
    secretsManager: serviceUrl.optional(),
    logs: serviceUrl.optional(),
    sts: serviceUrl.optional(),
    dualStack: z
      .boolean()
      .default(false)
      .describe('Asks for the endpoints of S3, Secrets Manager, Logs and STS that have IPv6 addresses, too.'),
    fips: z.boolean().default(false),
  })
  .superRefine(oneWayToEndpoints)

function isHttpsOrLoopback(text: string): boolean {
  const url = URL.parse(text)
  if (url === null) return false
  return url.protocol === 'https:' || /^(127(\.\d+){3}|\[::1\]|([a-z0-9-]+\.)*localhost)$/i.test(url.hostname)
}

/** The SDK refuses the two together, at each request; here is where a person can mend it. */
function oneWayToEndpoints(endpoints: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  if (endpoints['dualStack'] !== true && endpoints['fips'] !== true) return
  for (const service of ['s3', 'secretsManager', 'logs', 'sts']) {
    if (endpoints[service] === undefined) continue
    context.addIssue({ code: 'custom', path: [service], message: 'cannot stand beside dualStack or fips' })
  }
}
