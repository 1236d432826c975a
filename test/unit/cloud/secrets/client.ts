import { type Caller, type CloudRequest, type CloudService, ServiceFault } from '../../../cloud/contract.ts'
import { parsePolicy } from '../../../cloud/iam/parse-policy.ts'

export const account = '123456789012'
export const region = 'us-west-2'
export const callerArn = `arn:aws:sts::${account}:assumed-role/appliance/session`

/** What a request came to: the answer's JSON, or the refusal as the protocol shows it. */
export interface Outcome {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly json: unknown
}

/** A session of the role `appliance` that may do what the statements allow. */
export function callerWith(
  statements: readonly Readonly<Record<string, unknown>>[],
  context: Readonly<Record<string, string>> = {},
): Caller {
  const Statement = statements.map((fields) => ({ Effect: 'Allow', Resource: '*', ...fields }))
  const policies = [parsePolicy({ Version: '2012-10-17', Statement })]
  return { arn: callerArn, roleArn: `arn:aws:iam::${account}:role/appliance`, account, policies, context }
}

export const everything = callerWith([{ Action: '*' }])

/** Sends one request as the frame of the local cloud would hand it over. A string is sent as it is. */
export async function send(
  service: CloudService,
  {
    action,
    input,
    caller = everything,
  }: { readonly action: string; readonly input: unknown; readonly caller?: Caller },
): Promise<Outcome> {
  const request: CloudRequest = {
    id: 'request-1',
    method: 'POST',
    host: 'secretsmanager.localhost',
    rawPath: '/',
    query: new URLSearchParams(),
    rawQuery: '',
    headers: { 'x-amz-target': action },
    body: new TextEncoder().encode(typeof input === 'string' ? input : JSON.stringify(input)),
    clientCertificate: undefined,
  }
  const answer = async (): ReturnType<CloudService['handle']> =>
    await service.handle(request, { account, region, now: () => 0, caller })
  const {
    status,
    headers = {},
    body,
  } = await answer().catch((error: unknown) => {
    if (error instanceof ServiceFault) return service.formatFault(error, request)
    throw error
  })
  return { status, headers, json: typeof body === 'string' ? JSON.parse(body) : undefined }
}
