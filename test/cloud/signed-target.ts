import { ServiceFault, type CloudRequest, type CloudResponse, type CloudService } from './contract.ts'
import type { Target, TellCaller } from './front-door.ts'
import type { Quotas } from './quotas.ts'
import type { Sessions } from './sessions.ts'
import { signatureFault } from './signature-fault.ts'
import { verifySignature } from './sigv4.ts'

export interface SignedTargetOptions {
  readonly services: readonly CloudService[]
  readonly account: string
  readonly region: string
  readonly now: () => number
  readonly sessions: Sessions
  readonly quotas: Quotas
}

/** Finds the service by the Host header, and puts signature and quota in front of it. */
export function routeSigned(request: CloudRequest, options: SignedTargetOptions): Target {
  const service = options.services.find((candidate) => candidate.serves(request.host))
  if (service === undefined) return nowhere
  return {
    service: service.name,
    action: service.actionOf(request),
    answer: (verified, tell) => answer({ service, request: verified, tell, options }),
    formatFault: (fault, refused) => service.formatFault(fault, refused),
  }
}

const nowhere: Target = {
  service: 'none',
  action: 'Unknown',
  answer: ({ host }) => {
    throw new ServiceFault(404, 'UnknownHost', `No service of this cloud is at ${host}`)
  },
  formatFault: ({ status, message }) => ({ status, headers: { 'content-type': 'text/plain' }, body: message }),
}

async function answer({
  service,
  request,
  tell,
  options,
}: {
  readonly service: CloudService
  readonly request: CloudRequest
  readonly tell: TellCaller
  readonly options: SignedTargetOptions
}): Promise<CloudResponse> {
  const { account, region, now, sessions, quotas } = options
  const result = await verifySignature(request, {
    service: service.name,
    region,
    nowMs: now(),
    findCredentials: (accessKeyId) => sessions.find(accessKeyId),
  })
  if (!result.ok) throw signatureFault(service.name, result.problem)
  const caller = sessions.callerOf(result.accessKeyId)
  tell({ thingName: caller.context['credentials-iot:ThingName'], callerArn: caller.arn })
  if (!quotas.take(service.name, service.actionOf(request))) throw throttled(service.name)
  return service.handle(request, { account, region, now, caller })
}

function throttled(service: string): ServiceFault {
  switch (service) {
    case 's3':
      return new ServiceFault(503, 'SlowDown', 'Please reduce your request rate.')
    case 'sts':
      return new ServiceFault(400, 'Throttling', 'Rate exceeded')
    default:
      return new ServiceFault(400, 'ThrottlingException', 'Rate exceeded')
  }
}
