import { describe, expect, it } from 'vitest'

import { createSecretsService } from '../../../cloud/secrets/secrets-service.ts'
import { account, callerArn, callerWith, everything, type Outcome, region, send } from './client.ts'

const name = 'panorama/shared/dock-3'
const key = `arn:aws:kms:${region}:${account}:key/1234abcd`
const token = '0123456789abcdef0123456789abcdef'

interface World {
  readonly service: ReturnType<typeof createSecretsService>
  readonly arn: string
  readonly firstVersion: string
  readonly call: (action: string, input: unknown, caller?: typeof everything) => Promise<Outcome>
  readonly advance: (ms: number) => void
}

function world(options: { readonly kmsKeyArn?: string } = {}): World {
  let nowMs = 1_760_000_000_000
  const service = createSecretsService({ account, region, now: () => nowMs })
  const { arn, versionId } = service.createSecret(name, 'one', options)
  return {
    service,
    arn,
    firstVersion: versionId,
    call: async (action, input, caller = everything) =>
      await send(service, { action: `secretsmanager.${action}`, input, caller }),
    advance: (ms) => {
      nowMs += ms
    },
  }
}

function refusal(code: string, message: unknown = expect.any(String)): unknown {
  return expect.objectContaining({ status: 400, json: { __type: code, Message: message } })
}

describe('GetSecretValue', () => {
  it('answers the AWSCURRENT version by name and by full ARN', async () => {
    const { call, arn, firstVersion } = world()
    expect(arn).toMatch(new RegExp(`^arn:aws:secretsmanager:us-west-2:123456789012:secret:${name}-[A-Za-z0-9]{6}$`))
    for (const SecretId of [name, arn]) {
      expect(await call('GetSecretValue', { SecretId })).toEqual({
        status: 200,
        headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': 'request-1' },
        json: {
          ARN: arn,
          Name: name,
          VersionId: firstVersion,
          SecretString: 'one',
          VersionStages: ['AWSCURRENT'],
          CreatedDate: 1_760_000_000,
        },
      })
    }
  })

  it('answers bytes as SecretBinary in base64', async () => {
    const { call, service } = world()
    service.putSecretValue(name, new Uint8Array([0, 255]))
    expect((await call('GetSecretValue', { SecretId: name })).json).toMatchObject({ SecretBinary: 'AP8=' })
  })

  it('answers other versions by stage and by id', async () => {
    const { call, service, firstVersion } = world()
    const second = service.putSecretValue(name, 'two')
    const get = async (fields: object): Promise<unknown> =>
      (await call('GetSecretValue', { SecretId: name, ...fields })).json
    expect(await get({})).toMatchObject({ SecretString: 'two', VersionId: second })
    expect(await get({ VersionStage: 'AWSPREVIOUS' })).toMatchObject({ SecretString: 'one' })
    expect(await get({ VersionId: firstVersion })).toMatchObject({ SecretString: 'one' })
    expect(await get({ VersionId: second, VersionStage: 'AWSCURRENT' })).toMatchObject({ SecretString: 'two' })
  })

  it('refuses a stage that nothing has, an unknown version, and a stage of another version', async () => {
    const { call, firstVersion } = world()
    const get = async (fields: object): Promise<Outcome> => await call('GetSecretValue', { SecretId: name, ...fields })
    expect(await get({ VersionStage: 'AWSPENDING' })).toEqual(
      refusal(
        'ResourceNotFoundException',
        "Secrets Manager can't find the specified secret value for staging label: AWSPENDING",
      ),
    )
    expect(await get({ VersionId: token })).toEqual(
      refusal('ResourceNotFoundException', expect.stringContaining(`VersionId: ${token}`)),
    )
    expect(await get({ VersionId: firstVersion, VersionStage: 'AWSPREVIOUS' })).toEqual(
      refusal('InvalidRequestException'),
    )
  })

  it('refuses a secret that is not there, and an ARN without its six characters', async () => {
    const { call, arn } = world()
    for (const SecretId of ['panorama/shared/none', arn.slice(0, -7)]) {
      expect(await call('GetSecretValue', { SecretId })).toEqual(
        refusal('ResourceNotFoundException', "Secrets Manager can't find the specified secret."),
      )
    }
  })

  it('refuses a secret that is scheduled for deletion until it is restored', async () => {
    const { call, service } = world()
    service.deleteSecret(name)
    expect(await call('GetSecretValue', { SecretId: name })).toEqual(
      refusal('InvalidRequestException', expect.stringContaining('marked for deletion')),
    )
    service.restoreSecret(name)
    expect(await call('GetSecretValue', { SecretId: name })).toMatchObject({ status: 200 })
  })

  it('gives a secret that was removed and made again another ARN', async () => {
    const { call, service, arn } = world()
    service.deleteSecret(name, { atOnce: true })
    expect(await call('GetSecretValue', { SecretId: name })).toEqual(refusal('ResourceNotFoundException'))
    service.createSecret(name, 'again')
    expect(await call('GetSecretValue', { SecretId: arn })).toEqual(refusal('ResourceNotFoundException'))
    expect((await call('GetSecretValue', { SecretId: name })).json).toMatchObject({ SecretString: 'again' })
  })

  it('fails to decrypt while the key is gone', async () => {
    const { call, service } = world()
    service.setDecryptable(name, false)
    expect(await call('GetSecretValue', { SecretId: name })).toEqual(refusal('DecryptionFailure'))
    service.setDecryptable(name, true)
    expect(await call('GetSecretValue', { SecretId: name })).toMatchObject({ status: 200 })
  })

  it.each([{}, { SecretId: '' }, { SecretId: 7 }, { SecretId: name, VersionId: 'short' }])(
    'refuses the parameters %j',
    async (input) => {
      expect(await world().call('GetSecretValue', input)).toEqual(refusal('InvalidParameterException'))
    },
  )

  it('shows a write to readers only after the time that consistency takes, and keeps the state before until then', async () => {
    const { call, service, advance } = world()
    const read = async (): Promise<unknown> => (await call('GetSecretValue', { SecretId: name })).json
    service.setVisibleAfterMs(5000)
    service.putSecretValue(name, 'two')
    service.createSecret('panorama/shared/new', 'x')
    advance(4999)
    expect(await read()).toMatchObject({ SecretString: 'one' })
    expect(await call('GetSecretValue', { SecretId: 'panorama/shared/new' })).toEqual(
      refusal('ResourceNotFoundException'),
    )
    advance(1)
    expect(await read()).toMatchObject({ SecretString: 'two' })
    expect(await call('GetSecretValue', { SecretId: 'panorama/shared/new' })).toMatchObject({ status: 200 })
  })
})

describe('authorisation', () => {
  const shared = {
    Action: 'secretsmanager:GetSecretValue',
    Resource: 'arn:aws:secretsmanager:*:*:secret:panorama/shared/*',
  }
  const own = {
    Action: 'secretsmanager:GetSecretValue',
    Resource: 'arn:aws:secretsmanager:*:*:secret:panorama/${credentials-iot:ThingName}/*',
  }

  it('names caller, action and secret as asked for when no policy allows it', async () => {
    const { call } = world()
    expect(await call('GetSecretValue', { SecretId: name }, callerWith([{ Action: 'logs:*' }]))).toEqual(
      refusal(
        'AccessDeniedException',
        `User: ${callerArn} is not authorized to perform: secretsmanager:GetSecretValue on resource: ${name} because no identity-based policy allows the secretsmanager:GetSecretValue action`,
      ),
    )
  })

  it('says when a policy denies explicitly', async () => {
    const { call } = world()
    const caller = callerWith([{ Action: '*' }, { ...shared, Effect: 'Deny' }])
    expect(await call('GetSecretValue', { SecretId: name }, caller)).toEqual(
      refusal('AccessDeniedException', expect.stringContaining('with an explicit deny in an identity-based policy')),
    )
  })

  it('comes before the question whether the secret is there', async () => {
    const { call } = world()
    const caller = callerWith([shared])
    expect(await call('GetSecretValue', { SecretId: 'panorama/other/none' }, caller)).toEqual(
      refusal('AccessDeniedException'),
    )
    expect(await call('GetSecretValue', { SecretId: 'panorama/shared/none' }, caller)).toEqual(
      refusal('ResourceNotFoundException'),
    )
  })

  it("lets an appliance read its own secret but no other appliance's", async () => {
    const { call, service } = world()
    service.createSecret('panorama/dock-1/cam', 'mine')
    service.createSecret('panorama/dock-2/cam', 'theirs')
    const caller = callerWith([own], { 'credentials-iot:ThingName': 'dock-1' })
    expect(await call('GetSecretValue', { SecretId: 'panorama/dock-1/cam' }, caller)).toMatchObject({ status: 200 })
    expect(await call('GetSecretValue', { SecretId: 'panorama/dock-2/cam' }, caller)).toEqual(
      refusal('AccessDeniedException'),
    )
    expect(await call('GetSecretValue', { SecretId: 'panorama/dock-1/cam' }, callerWith([own]))).toEqual(
      refusal('AccessDeniedException'),
    )
  })

  it('asks for kms:Decrypt on a customer managed key, through Secrets Manager', async () => {
    const { call } = world({ kmsKeyArn: key })
    const decrypt = { Action: 'kms:Decrypt', Resource: key }
    const via = (service: string): object => ({
      ...decrypt,
      Condition: { StringEquals: { 'kms:ViaService': service } },
    })
    const get = async (...more: Readonly<Record<string, unknown>>[]): Promise<Outcome> =>
      await call('GetSecretValue', { SecretId: name }, callerWith([shared, ...more]))
    expect(await get()).toEqual(refusal('AccessDeniedException', 'Access to KMS is not allowed'))
    expect(await get({ ...decrypt, Resource: `${key}5` })).toEqual(refusal('AccessDeniedException'))
    expect(await get(decrypt)).toMatchObject({ status: 200 })
    expect(await get({ ...via(`secretsmanager.${region}.amazonaws.com`) })).toMatchObject({ status: 200 })
    expect(await get({ ...via('s3.amazonaws.com') })).toEqual(refusal('AccessDeniedException'))
  })
})

describe('BatchGetSecretValue', () => {
  const read = {
    Action: 'secretsmanager:GetSecretValue',
    Resource: 'arn:aws:secretsmanager:*:*:secret:panorama/shared/*',
  }
  const batch = { Action: 'secretsmanager:BatchGetSecretValue' }

  it('answers the values that it can and says for each other secret why not', async () => {
    const { call, service } = world()
    service.createSecret('panorama/dock-2/cam', 'theirs')
    const SecretIdList = [name, 'panorama/shared/none', 'panorama/dock-2/cam']
    const { status, json } = await call('BatchGetSecretValue', { SecretIdList }, callerWith([read, batch]))
    const text: unknown = expect.any(String)
    expect(status).toBe(200)
    expect(json).toEqual({
      SecretValues: [expect.objectContaining({ Name: name, SecretString: 'one', VersionStages: ['AWSCURRENT'] })],
      Errors: [
        { SecretId: SecretIdList[1], ErrorCode: 'ResourceNotFoundException', Message: text },
        { SecretId: SecretIdList[2], ErrorCode: 'AccessDeniedException', Message: text },
      ],
    })
  })

  it('needs its own permission, on every resource at once', async () => {
    const { call } = world()
    const input = { SecretIdList: [name] }
    const denied = refusal(
      'AccessDeniedException',
      `User: ${callerArn} is not authorized to perform: secretsmanager:BatchGetSecretValue because no identity-based policy allows the secretsmanager:BatchGetSecretValue action`,
    )
    expect(await call('BatchGetSecretValue', input, callerWith([read]))).toEqual(denied)
    const scoped = { ...batch, Resource: read.Resource }
    expect(await call('BatchGetSecretValue', input, callerWith([read, scoped]))).toEqual(denied)
  })

  it('fails as a whole where the VPC endpoint denies one of the secrets, by name or ARN', async () => {
    const { call, service, arn } = world()
    service.createSecret('panorama/shared/other', 'two')
    const SecretIdList = ['panorama/shared/other', name]
    for (const denied of [name, arn]) {
      service.setDeniedAtEndpoint([denied])
      const text: unknown = expect.stringContaining(`on resource: ${name} because no VPC endpoint policy allows`)
      expect(await call('BatchGetSecretValue', { SecretIdList })).toEqual(refusal('AccessDeniedException', text))
      expect(await call('GetSecretValue', { SecretId: arn })).toEqual(refusal('AccessDeniedException'))
      expect(await call('GetSecretValue', { SecretId: 'panorama/shared/other' })).toMatchObject({ status: 200 })
    }
    service.setDeniedAtEndpoint([])
    expect(await call('BatchGetSecretValue', { SecretIdList })).toMatchObject({ status: 200, json: { Errors: [] } })
  })

  it('takes 1 to 20 secrets, and a list only', async () => {
    const { call } = world()
    const status = async (input: object): Promise<number> => (await call('BatchGetSecretValue', input)).status
    expect(await status({ SecretIdList: Array.from({ length: 20 }, () => name) })).toBe(200)
    expect(await status({ SecretIdList: Array.from({ length: 21 }, () => name) })).toBe(400)
    expect(await status({ SecretIdList: [] })).toBe(400)
    expect(await status({ SecretIdList: [name], MaxResults: 5 })).toBe(400)
    expect(await status({ Filters: [{ Key: 'name', Values: ['panorama'] }] })).toBe(400)
  })
})

describe('DescribeSecret', () => {
  it('shows versions and stages, without a value, even when the secret is scheduled for deletion', async () => {
    const { call, service, arn, firstVersion } = world({ kmsKeyArn: key })
    const second = service.putSecretValue(name, 'two')
    service.deleteSecret(name)
    const { json } = await call('DescribeSecret', { SecretId: name })
    expect(json).toEqual({
      ARN: arn,
      Name: name,
      KmsKeyId: key,
      CreatedDate: 1_760_000_000,
      LastChangedDate: 1_760_000_000,
      DeletedDate: 1_762_592_000,
      VersionIdsToStages: { [firstVersion]: ['AWSPREVIOUS'], [second]: ['AWSCURRENT'] },
    })
  })

  it('is authorised by its own action', async () => {
    const caller = callerWith([{ Action: 'secretsmanager:GetSecretValue' }])
    expect(await world().call('DescribeSecret', { SecretId: name }, caller)).toEqual(refusal('AccessDeniedException'))
  })
})

describe('PutSecretValue', () => {
  const put = { SecretId: name, ClientRequestToken: token, SecretString: 'two' }

  it('adds a version with the id that it is given, as AWSCURRENT', async () => {
    const { call, firstVersion, arn } = world()
    expect((await call('PutSecretValue', put)).json).toEqual({
      ARN: arn,
      Name: name,
      VersionId: token,
      VersionStages: ['AWSCURRENT'],
    })
    const { json } = await call('DescribeSecret', { SecretId: name })
    expect(json).toMatchObject({ VersionIdsToStages: { [firstVersion]: ['AWSPREVIOUS'], [token]: ['AWSCURRENT'] } })
  })

  it('leaves AWSCURRENT where it is when the version gets another stage', async () => {
    const { call } = world()
    await call('PutSecretValue', { ...put, VersionStages: ['AWSPENDING'] })
    const get = async (VersionStage: string): Promise<unknown> =>
      (await call('GetSecretValue', { SecretId: name, VersionStage })).json
    expect(await get('AWSCURRENT')).toMatchObject({ SecretString: 'one' })
    expect(await get('AWSPENDING')).toMatchObject({ SecretString: 'two' })
  })

  it('accepts the same version twice and refuses another value for it', async () => {
    const { call, service } = world()
    await call('PutSecretValue', put)
    service.putSecretValue(name, 'three')
    expect(await call('PutSecretValue', put)).toMatchObject({ status: 200 })
    expect((await call('GetSecretValue', { SecretId: name })).json).toMatchObject({ SecretString: 'three' })
    expect(await call('PutSecretValue', { ...put, SecretString: 'four' })).toEqual(refusal('ResourceExistsException'))
  })

  it.each([
    ['no token', { SecretId: name, SecretString: 'two' }, 'InvalidParameterException'],
    ['no value', { SecretId: name, ClientRequestToken: token }, 'InvalidRequestException'],
    ['two values', { ...put, SecretBinary: 'AA==' }, 'InvalidRequestException'],
    ['too long a value', { ...put, SecretString: 'ä'.repeat(32_769) }, 'InvalidParameterException'],
    ['an unknown secret', { ...put, SecretId: 'none' }, 'ResourceNotFoundException'],
  ])('refuses %s', async (_what, input, code) => {
    expect(await world().call('PutSecretValue', input)).toEqual(refusal(code))
  })

  it('needs the key of the secret for a new value', async () => {
    const { call } = world({ kmsKeyArn: key })
    const caller = callerWith([{ Action: ['secretsmanager:*', 'kms:Decrypt'] }])
    expect(await call('PutSecretValue', put, caller)).toEqual(refusal('AccessDeniedException'))
  })
})

describe('the protocol', () => {
  it('serves its own host names only', () => {
    const { service } = world()
    expect(service.serves('secretsmanager.localhost')).toBe(true)
    expect(service.serves('secretsmanager.us-west-2.amazonaws.com')).toBe(true)
    expect(service.serves('logs.localhost')).toBe(false)
  })

  it.each(['secretsmanager.DeleteSecret', 'Logs_20140328.GetSecretValue', ''])(
    'does not know the target "%s"',
    async (action) => {
      const { service } = world()
      expect(await send(service, { action, input: {} })).toEqual(refusal('UnknownOperationException'))
    },
  )

  it('refuses a body that is no JSON', async () => {
    const { call } = world()
    expect(await call('GetSecretValue', '{')).toEqual(refusal('SerializationException'))
  })
})

describe('rotation', () => {
  it('makes the new value current and keeps the one before as AWSPREVIOUS', async () => {
    const { call, service } = world()
    service.rotateSecret(name, 'two')
    service.rotateSecret(name, 'three')
    const get = async (VersionStage: string): Promise<unknown> =>
      (await call('GetSecretValue', { SecretId: name, VersionStage })).json
    expect(await get('AWSCURRENT')).toMatchObject({ SecretString: 'three' })
    expect(await get('AWSPREVIOUS')).toMatchObject({ SecretString: 'two' })
  })

  it('can stop halfway, with AWSPENDING beside AWSCURRENT, and be finished later', async () => {
    const { call, service } = world()
    const pending = service.putSecretValue(name, 'two', { stages: ['AWSPENDING'] })
    expect((await call('GetSecretValue', { SecretId: name })).json).toMatchObject({ SecretString: 'one' })
    expect(service.finishRotation(name)).toBe(pending)
    expect((await call('GetSecretValue', { SecretId: name })).json).toMatchObject({ SecretString: 'two' })
  })
})
