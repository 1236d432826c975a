import type { RegisteredCertificate } from '../appliances.ts'
import { evaluatePolicies } from '../iam/evaluate.ts'

/** Who is connected, as an IoT policy sees it. */
export interface IotPrincipal {
  readonly certificate: RegisteredCertificate
  readonly clientId: string
  /** Only where the thing is attached to the certificate and the client id is its name. */
  readonly thingName: string | undefined
  readonly thingTypeName: string | undefined
}

/** What a client does, and to what: a client id, a topic or a topic filter. */
export interface IotAccess {
  readonly action: 'Connect' | 'Publish' | 'RetainPublish' | 'Subscribe' | 'Receive'
  readonly name: string
}

const resourceKinds = {
  Connect: 'client',
  Publish: 'topic',
  RetainPublish: 'topic',
  Receive: 'topic',
  Subscribe: 'topicfilter',
} as const

/**
 * Whether the certificate's IoT policy allows it ("AWS IoT Core policy actions", "AWS IoT Core action resources"): `*`
 * and `?` are wildcards, MQTT's `+` and `#` plain characters. A variable about the thing has a value only where the
 * thing is attached to the certificate and the client id is its name ("Thing policy variables").
 */
export function allowsIot(
  { certificate, clientId, thingName, thingTypeName }: IotPrincipal,
  { action, name }: IotAccess,
): boolean {
  const [, partition, , region, account] = certificate.arn.split(':')
  const decision = evaluatePolicies(certificate.policy === undefined ? [] : [certificate.policy], {
    principal: { kind: 'AWS', arn: certificate.arn, account: account ?? '' },
    action: `iot:${action}`,
    resource: `arn:${partition ?? ''}:iot:${region ?? ''}:${account ?? ''}:${resourceKinds[action]}/${name}`,
    context: {
      'iot:ClientId': clientId,
      'iot:CertificateId': certificate.certificateId,
      ...(thingName === undefined
        ? {}
        : { 'iot:Connection.Thing.ThingName': thingName, 'iot:Connection.Thing.IsAttached': 'true' }),
      ...(thingTypeName === undefined ? {} : { 'iot:Connection.Thing.ThingTypeName': thingTypeName }),
    },
  })
  return decision === 'allowed'
}
