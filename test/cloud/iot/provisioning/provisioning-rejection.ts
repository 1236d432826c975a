/**
 * A request that is answered on `rejected`. AWS documents the shape alone ("Device provisioning MQTT API"). Of the codes,
 * InvalidCertificateOwnershipToken was seen at AWS (aws-iot-device-sdk-js-v2, issue 69), AccessDenied follows the text of
 * "Pre-provisioning hooks", and the others are a guess: clients had better go by `statusCode`.
 */
export class ProvisioningRejection extends Error {
  override readonly name = 'ProvisioningRejection'
  readonly statusCode: number
  readonly errorCode: string

  constructor(statusCode: number, errorCode: string, message: string) {
    super(message)
    this.statusCode = statusCode
    this.errorCode = errorCode
  }
}

export function invalidRequest(message: string): ProvisioningRejection {
  return new ProvisioningRejection(400, 'InvalidRequest', message)
}

export function invalidParameters(message: string): ProvisioningRejection {
  return new ProvisioningRejection(400, 'InvalidParameters', message)
}

export function invalidToken(message: string): ProvisioningRejection {
  return new ProvisioningRejection(400, 'InvalidCertificateOwnershipToken', message)
}

/** What a refusal and a failure of the hook, and a template that is not enabled, come to. */
export function accessDenied(): ProvisioningRejection {
  return new ProvisioningRejection(403, 'AccessDenied', 'Access Denied')
}
