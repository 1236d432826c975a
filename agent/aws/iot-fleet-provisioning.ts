import { iotidentity, mqtt_request_response, type mqtt5 } from 'aws-iot-device-sdk-v2'

import type {
  ConnectAttempt,
  FleetProvisioning,
  IssuedCertificate,
  RegisteredThing,
} from '../identity/fleet-provisioning.ts'
import { withDeadline } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { waitOutConnectQuota } from './connect-quota.ts'
import { explainTls } from './connection-check.ts'
import { defaultPort, IotConnection, type IotConnectionOptions } from './iot-connection.ts'
import { ConnectionRefusedError, TlsFailedError } from './iot-connection-errors.ts'
import type { ClientIdentity } from './iot-credential-source.ts'
import { policyOf, ProvisioningError, type Asker, type ProvisioningContext } from './iot-provisioning-errors.ts'

export interface IotAttemptOptions extends Pick<
  IotConnectionOptions,
  'endpoint' | 'clientId' | 'clockOffsetMs' | 'dialer' | 'serviceTrust' | 'counter'
> {
  readonly identity: ClientIdentity
}

const connectWithinMs = 45_000
const answerWithinSeconds = 20
const callWithinMs = 25_000
const keepAliveSeconds = 60
/** Accepted and rejected, of two operations. */
const maxRequestSubscriptions = 4

/**
 * Connects for AWS IoT fleet provisioning (AWS IoT Core developer guide, "Device provisioning MQTT API"). The SDK subscribes to
 * the answers before it asks. Rejects with what kept it from connecting at the first attempt.
 */
export async function connectFleetProvisioning(
  options: IotAttemptOptions & { readonly template: string },
  signal: AbortSignal,
): Promise<FleetProvisioning> {
  const { template, clientId } = options
  const refusedHint =
    'see that the claim certificate is active and has a policy like config/cloud/provisioning/iot-claim-policy.json, ' +
    `which lets it connect as ${clientId}`
  const hinted = { ...options, refusedHint }
  const connection = openConnection(hinted)
  try {
    const protocol = await connected(connection, hinted, signal)
    return provisioningOver({ client: identityClient(protocol), connection, template, asker: 'claim' })
  } catch (error) {
    await connection[Symbol.asyncDispose]()
    throw error
  }
}

/** Over the connection of an appliance, which stays open: disposing ends only what was subscribed to for this. */
export async function fleetProvisioningOver(connection: IotConnection, template: string): Promise<FleetProvisioning> {
  const protocol = await connection.client()
  const client = identityClient(protocol)
  return {
    ...provisioningOver({ client, connection, template, asker: 'appliance' }),
    [Symbol.asyncDispose]: () => {
      client.close()
      return Promise.resolve()
    },
  }
}

/** Connects once and lets go again; resolves when AWS IoT takes the next connection of that client id. Throws what is no refusal. */
export async function attemptConnection(options: IotAttemptOptions, signal: AbortSignal): Promise<ConnectAttempt> {
  await using connection = openConnection(options)
  try {
    await connected(connection, options, signal)
    await waitOutConnectQuota(signal)
    return { kind: 'connected' }
  } catch (error) {
    if (error instanceof ConnectionRefusedError) return { kind: 'refused', error }
    throw error
  }
}

function identityClient(protocol: mqtt5.Mqtt5Client): iotidentity.IotIdentityClientv2 {
  return iotidentity.IotIdentityClientv2.newFromMqtt5(protocol, {
    maxRequestResponseSubscriptions: maxRequestSubscriptions,
    maxStreamingSubscriptions: 0,
    operationTimeoutInSeconds: answerWithinSeconds,
  })
}

interface Opened {
  readonly client: iotidentity.IotIdentityClientv2
  readonly connection: IotConnection
  readonly template: string
  readonly asker: Asker
}

function provisioningOver({ client, connection, template, asker }: Opened): FleetProvisioning {
  const call = async <Q extends object, T>(
    operation: string,
    { request, signal }: { readonly request: Q; readonly signal: AbortSignal },
    ask: (request: Q) => Promise<T>,
  ): Promise<T> => {
    await connection.expectConnected(signal)
    return await withDeadline({ signal, withinMs: callWithinMs, what: operation }, async () => {
      try {
        connection.countRequest(operation, request)
        return await ask(request)
      } catch (error) {
        throw toAgentError({ operation, template, asker, clientId: connection.clientId }, error)
      }
    })
  }
  return {
    createCertificateFromCsr: async (certificateSigningRequest, signal) =>
      toIssued(
        await call('CreateCertificateFromCsr', { request: { certificateSigningRequest }, signal }, async (request) =>
          client.createCertificateFromCsr(request),
        ),
      ),
    registerThing: async ({ template: templateName, token: certificateOwnershipToken, parameters }, signal) => {
      const request = { templateName, certificateOwnershipToken, parameters: { ...parameters } }
      return toThing(await call('RegisterThing', { request, signal }, async (asked) => client.registerThing(asked)))
    },
    async [Symbol.asyncDispose]() {
      client.close()
      await connection[Symbol.asyncDispose]()
    },
  }
}

type HintedAttempt = IotAttemptOptions & Pick<IotConnectionOptions, 'refusedHint'>

function openConnection({ identity, ...options }: HintedAttempt): IotConnection {
  return new IotConnection({ ...options, keepAliveSeconds, loadIdentity: () => Promise.resolve(identity), log: noLog })
}

async function connected(
  connection: IotConnection,
  { identity, ...options }: HintedAttempt,
  signal: AbortSignal,
): ReturnType<IotConnection['client']> {
  const deadline = { signal, withinMs: connectWithinMs, what: 'the connection to AWS IoT Core' }
  return await withDeadline(deadline, async (inner) => {
    const client = await connection.client()
    await firstConnection(connection, inner)
    return client
  }).catch(async (fault: unknown) => {
    const error = connection.status().error ?? fault
    if (!(error instanceof TlsFailedError) || signal.aborted) throw error
    throw await explainTls(error, { ...options, defaultPort, loadIdentity: () => Promise.resolve(identity) })
  })
}

/** A link may be slower than whoever asks for jobs would wait. */
async function firstConnection(connection: IotConnection, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await connection.expectConnected(signal)
      return
    } catch (error) {
      signal.throwIfAborted()
      if (connection.status().state !== 'connecting') throw error
    }
  }
}

function toIssued(answer: iotidentity.model.CreateCertificateFromCsrResponse): IssuedCertificate {
  const { certificateId, certificatePem: certificate, certificateOwnershipToken: token } = answer
  if (certificateId !== undefined && certificate !== undefined && token !== undefined) {
    return { certificateId, certificate, token }
  }
  throw new AgentError('CreateCertificateFromCsr: the answer lacks certificate, id or token', { retryable: true })
}

function toThing({ thingName, deviceConfiguration = {} }: iotidentity.model.RegisterThingResponse): RegisteredThing {
  if (thingName !== undefined) return { thingName, deviceConfiguration }
  throw new AgentError('RegisterThing: the answer lacks the thing name', {
    hint: 'the template must make a thing: see config/cloud/provisioning',
  })
}

function toAgentError(asked: ProvisioningContext, error: unknown): unknown {
  if (!(error instanceof mqtt_request_response.ServiceError)) return error
  const answer = error.modeledError as iotidentity.model.V2ErrorResponse | undefined // typed any there
  if (answer !== undefined) return new ProvisioningError(answer, asked)
  return new AgentError(`${asked.operation} got no answer`, {
    retryable: true,
    hint:
      `if this goes on: see that ${policyOf(asked.asker)} lets it publish to, subscribe to and receive from the topics of ` +
      `create-from-csr and of the template ${asked.template}`,
    cause: error.internalError ?? error,
  })
}

/** Whoever asked gets the error, and reports it. */
const noLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => noLog,
}
