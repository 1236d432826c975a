import { readFile } from 'node:fs/promises'

import { parsePolicy } from './parse-policy.ts'
import type { PolicyDocument } from './policy-document.ts'

/** What `config/cloud/` deploys to an account, read by the evaluator. */
export interface CloudPolicies {
  readonly applianceRoleTrust: PolicyDocument
  /** The copy of the managed policy, the one for secrets and, given a KmsKeyArn, the one for that key. */
  readonly applianceRolePolicies: readonly PolicyDocument[]
  readonly baseRoleTrust: PolicyDocument
  readonly baseRolePolicies: readonly PolicyDocument[]
  readonly chainedRoleTrust: PolicyDocument
  readonly iotDevicePolicy: PolicyDocument
  /** What a claim certificate may do, and what lets an appliance rotate its own. */
  readonly iotClaimPolicy: PolicyDocument
  readonly iotRotationPolicy: PolicyDocument
  /** What an application may do, and that the appliance may ask for it. */
  readonly applicationRolePolicy: PolicyDocument
  readonly iotApplicationPolicy: PolicyDocument
  readonly accessPointPolicy: PolicyDocument
  readonly bucketPolicy: PolicyDocument
  readonly publisherPolicy: PolicyDocument
}

/** Values of the template variables by name; which ones there are, `config/cloud/README.md` says. */
export type TemplateVariables = Readonly<Record<string, string>>

/**
 * Reads the policies of `config/cloud/` as they would stand in an account. Throws an Error that names the file and
 * the template variable without a value, and a PolicyError when a file is no policy.
 */
export async function loadCloudPolicies(variables: TemplateVariables): Promise<CloudPolicies> {
  const load = async (name: string): Promise<PolicyDocument> => parsePolicy(await readTemplate(name, variables))
  const keyPolicy = variables['KmsKeyArn'] === undefined ? [] : ['appliance-role-kms-policy']
  return {
    applianceRoleTrust: await load('appliance-role-trust-policy'),
    applianceRolePolicies: await Promise.all(
      ['appliance-role-policy', 'appliance-role-secrets-policy', ...keyPolicy].map(load),
    ),
    baseRoleTrust: await load('base-role-trust-policy'),
    baseRolePolicies: [await load('base-role-policy')],
    chainedRoleTrust: await load('chained-role-trust-policy'),
    iotDevicePolicy: await load('iot-device-policy'),
    iotClaimPolicy: await load('provisioning/iot-claim-policy'),
    iotRotationPolicy: await load('provisioning/iot-rotation-policy'),
    applicationRolePolicy: await load('application-role-policy'),
    iotApplicationPolicy: await load('iot-application-policy'),
    accessPointPolicy: await load('access-point-policy'),
    bucketPolicy: await load('bucket-policy'),
    publisherPolicy: await load('publisher-policy'),
  }
}

/**
 * The JSON of `config/cloud/<name>.json` with its template variables filled in. A template variable has no colon in
 * its name: `${Account}` is one, the policy variable `${credentials-iot:ThingName}` is not and stays.
 */
export async function readTemplate(name: string, variables: TemplateVariables): Promise<unknown> {
  const text = await readFile(new URL(`../../../config/cloud/${name}.json`, import.meta.url), 'utf8')
  const json: unknown = JSON.parse(text, (_key, value: unknown) =>
    typeof value === 'string' ? fillIn(value, name, variables) : value,
  )
  return json
}

function fillIn(text: string, file: string, variables: TemplateVariables): string {
  return text.replaceAll(/\$\{([A-Za-z][A-Za-z0-9]*)\}/g, (_whole, name: string) => {
    const value = variables[name]
    if (value === undefined) throw new Error(`config/cloud/${file}.json: the variable ${name} has no value`)
    return value
  })
}
