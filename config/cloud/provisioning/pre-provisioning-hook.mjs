/**
 * Pre-provisioning hook of both provisioning templates, for AWS Lambda (Node.js 20 or newer, handler
 * `pre-provisioning-hook.handler`, no environment variables). Input and output are those of "Pre-provisioning hooks",
 * AWS IoT Core developer guide. AWS IoT takes anything but `allowProvisioning: true` within 5 s as a refusal, so
 * whatever goes wrong here refuses too.
 *
 * - A claim passes if its client id is `<template>-<serial>` and the parameter SerialNumber that serial: the name of
 *   the thing, which the template makes of SerialNumber, then follows from who connected.
 * - A rotation (a template whose name ends in `-rotation`) passes if the parameter ThingName is the client id, and the
 *   certificate of the connection belongs to that thing.
 */

const rotationSuffix = '-rotation'
const templateArn = /^arn:([^:]+):iot:([^:]+):(\d{12}):provisioningtemplate\/([0-9A-Za-z_-]{1,36})$/
const certificateId = /^[0-9a-f]{64}$/
const serialNumber = /^[A-Za-z0-9_-]{1,64}$/
// Nothing bounds the things of a certificate; the 5 s of the hook do.
const maxPages = 4

/**
 * Makes the handler. `listThings({principal, nextToken})` is ListPrincipalThings of AWS IoT: it resolves with
 * `{things, nextToken}`. `log` gets one line of JSON for each decision, which holds no secret.
 */
export function createHandler({ listThings, log }) {
  return async (event) => {
    const refusal = await refusalOf(event, listThings)
    const { templateArn: template, clientId, claimCertificateId, certificateId: newCertificateId } = event ?? {}
    const allowed = refusal === undefined
    log(JSON.stringify({ allowed, refusal, template, clientId, claimCertificateId, newCertificateId }))
    return { allowProvisioning: allowed }
  }
}

/** What AWS Lambda calls. */
export const handler = createHandler({ listThings: listPrincipalThings, log: console.log })

async function refusalOf(event, listThings) {
  const [, partition, region, account, template] = templateArn.exec(event?.templateArn ?? '') ?? []
  if (template === undefined) return 'the event names no template'
  const parameters = event.parameters ?? {}
  if (!template.endsWith(rotationSuffix)) return refusalOfClaim({ template, clientId: event.clientId, parameters })
  if (typeof parameters.ThingName !== 'string' || parameters.ThingName === '') return 'ThingName is missing'
  if (parameters.ThingName !== event.clientId) return 'ThingName is not the client id'
  if (!certificateId.test(event.claimCertificateId ?? '')) return 'the event names no certificate of the caller'
  if (event.certificateId === event.claimCertificateId) return 'the new certificate is the old one'
  const principal = `arn:${partition}:iot:${region}:${account}:cert/${event.claimCertificateId}`
  const belongs = await belongsTo(parameters.ThingName, principal, listThings)
  return belongs ? undefined : 'the certificate of the caller does not belong to the thing'
}

function refusalOfClaim({ template, clientId, parameters }) {
  const { SerialNumber } = parameters
  if (typeof SerialNumber !== 'string' || !serialNumber.test(SerialNumber))
    return 'SerialNumber is missing or malformed'
  if (clientId !== `${template}-${SerialNumber}`) return 'SerialNumber is not that of the client id'
  return undefined
}

async function belongsTo(thingName, principal, listThings) {
  let nextToken
  for (let page = 0; page < maxPages; page += 1) {
    const answer = await listThings({ principal, nextToken })
    if (answer.things?.includes(thingName) === true) return true
    nextToken = answer.nextToken
    if (nextToken === undefined || nextToken === null) return false
  }
  return false
}

const awsIot = { sdk: undefined, client: undefined }

async function listPrincipalThings(input) {
  awsIot.sdk ??= await import('@aws-sdk/client-iot')
  awsIot.client ??= new awsIot.sdk.IoTClient({ maxAttempts: 2 })
  const abortSignal = AbortSignal.timeout(4000)
  return awsIot.client.send(new awsIot.sdk.ListPrincipalThingsCommand(input), { abortSignal })
}
