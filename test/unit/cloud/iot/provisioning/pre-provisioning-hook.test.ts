import { describe, expect, it } from 'vitest'

import {
  createHandler,
  type HookDeps,
  type HookEvent,
} from '../../../../../config/cloud/provisioning/pre-provisioning-hook.mjs'

const own = 'a'.repeat(64)
const templates = 'arn:aws:iot:us-west-2:123456789012:provisioningtemplate'
const claim: HookEvent = {
  claimCertificateId: own,
  certificateId: 'b'.repeat(64),
  certificatePem: 'pem',
  templateArn: `${templates}/panorama-appliance`,
  clientId: 'panorama-appliance-SN-1',
  parameters: { SerialNumber: 'SN-1' },
}
const rotation: HookEvent = {
  ...claim,
  templateArn: `${templates}/panorama-appliance-rotation`,
  clientId: 'panorama_SN-1',
  parameters: { ThingName: 'panorama_SN-1' },
}
const attached: HookDeps['listThings'] = ({ principal }) =>
  Promise.resolve({ things: principal.endsWith(`:cert/${own}`) ? ['panorama_SN-1'] : [] })
const neverAsked: HookDeps['listThings'] = () => Promise.reject(new Error('asked without need'))

async function allows(event: unknown, listThings: HookDeps['listThings'] = attached): Promise<boolean> {
  return (await createHandler({ listThings, log: () => undefined })(event)).allowProvisioning
}

describe('the pre-provisioning hook', () => {
  it('lets a claim pass whose serial number is that of the client id', async () => {
    expect(await allows(claim, neverAsked)).toBe(true)
  })

  it.each([
    ['the serial number is another’s', { parameters: { SerialNumber: 'SN-2' } }],
    ['there is no serial number', { parameters: {} }],
    ['there are no parameters', { parameters: undefined }],
    ['the serial number is empty', { clientId: 'panorama-appliance-', parameters: { SerialNumber: '' } }],
    [
      'the serial number could be more than a name',
      { clientId: 'panorama-appliance-a/b', parameters: { SerialNumber: 'a/b' } },
    ],
    [
      'the serial number is too long',
      { clientId: `panorama-appliance-${'9'.repeat(65)}`, parameters: { SerialNumber: '9'.repeat(65) } },
    ],
    ['the client id is of another template', { clientId: 'panorama-other-SN-1' }],
    ['the client id is that of the thing', { clientId: 'panorama_SN-1' }],
    ['the template is not named', { templateArn: undefined }],
    ['the ARN is no template’s', { templateArn: 'arn:aws:iot:us-west-2:123456789012:thing/panorama-appliance' }],
  ])('refuses a claim if %s', async (_what, change) => {
    expect(await allows({ ...claim, ...change })).toBe(false)
  })

  it('lets a rotation pass of the thing that the client is and whose certificate it connected with', async () => {
    expect(await allows(rotation)).toBe(true)
  })

  it.each([
    ['the thing is another’s', { parameters: { ThingName: 'panorama_SN-2' } }],
    [
      'the client calls itself another thing',
      { clientId: 'panorama_SN-2', parameters: { ThingName: 'panorama_SN-2' } },
    ],
    ['the client calls itself otherwise than its thing', { clientId: 'panorama_SN-2' }],
    ['no thing is named', { parameters: {} }],
    ['neither thing nor client is named', { clientId: '', parameters: { ThingName: '' } }],
    ['the certificate of the caller belongs to no thing', { claimCertificateId: 'c'.repeat(64) }],
    ['the new certificate is the one in use', { certificateId: own }],
    ['it is made like a claim', { clientId: claim.clientId, parameters: claim.parameters }],
  ])('refuses a rotation if %s', async (_what, change) => {
    expect(await allows({ ...rotation, ...change })).toBe(false)
  })

  it.each([undefined, `*/${own}`, own.toUpperCase()])(
    'asks for no things of a certificate that is named %s',
    async (claimCertificateId) => {
      expect(await allows({ ...rotation, claimCertificateId }, neverAsked)).toBe(false)
    },
  )

  it('looks for the thing on the pages that follow, a few of them', async () => {
    const asked: (string | undefined)[] = []
    const paged =
      (lastPage: number): HookDeps['listThings'] =>
      ({ nextToken }) => {
        asked.push(nextToken)
        const page = asked.length
        return Promise.resolve(
          page === lastPage ? { things: ['panorama_SN-1'] } : { things: ['another'], nextToken: `page-${page + 1}` },
        )
      }

    expect(await allows(rotation, paged(2))).toBe(true)
    expect(asked).toEqual([undefined, 'page-2'])
    expect(await allows(rotation, paged(Infinity))).toBe(false)
    expect(asked).toHaveLength(6)
  })

  it('fails, which refuses, when AWS IoT does not say whose the certificate is', async () => {
    await expect(allows(rotation, () => Promise.reject(new Error('Rate exceeded')))).rejects.toThrow('Rate exceeded')
  })

  it('refuses what is no event', async () => {
    expect(await allows(undefined)).toBe(false)
    expect(await allows({})).toBe(false)
  })

  it('logs what it decided and why', async () => {
    const lines: string[] = []
    const handler = createHandler({ listThings: attached, log: (line) => void lines.push(line) })
    await handler({ ...claim, parameters: { SerialNumber: 'SN-2' } })

    expect(lines.map((line): unknown => JSON.parse(line))).toEqual([
      {
        allowed: false,
        refusal: 'SerialNumber is not that of the client id',
        template: claim.templateArn,
        clientId: claim.clientId,
        claimCertificateId: own,
        newCertificateId: 'b'.repeat(64),
      },
    ])
  })
})
