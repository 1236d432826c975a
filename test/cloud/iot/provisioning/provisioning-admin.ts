import type { DeviceCertificate, ListedCertificate } from '../../appliances.ts'
import type { PolicyDocument } from '../../iam/policy-document.ts'
import type { HookEvent, ProvisioningHook } from './provisioning-hook.ts'

/** The requests that faults are made for. */
export type ProvisioningAction = 'create-from-csr' | 'register-thing'

/** A refusal in AWS's shape. */
export interface ProvisioningRefusal {
  readonly statusCode: number
  readonly errorCode: string
  readonly errorMessage?: string
}

export interface TemplateOptions {
  /** The template's document. */
  readonly body: unknown
  /** Default true. */
  readonly enabled?: boolean
  /** Default: the one of `config/cloud/provisioning/`. */
  readonly hook?: ProvisioningHook | 'none'
}

/** Fleet provisioning, as tests and the demo handle it. */
export interface ProvisioningAdmin {
  /** The templates that are there at the start. */
  readonly templateNames: { readonly claim: string; readonly rotation: string }
  /** An active certificate that may be used for claims and nothing else. */
  readonly createClaim: () => Promise<DeviceCertificate>
  /** All certificates of the account, oldest first. One whose token expired before it was used is gone. */
  readonly certificates: () => readonly ListedCertificate[]
  /** Adds a template, or replaces it. Throws an Error for a body or a name that AWS or this cloud does not take. */
  readonly setTemplate: (name: string, template: TemplateOptions) => void
  /** Makes a policy that templates may name beside those that are there at the start. */
  readonly createPolicy: (name: string, document: PolicyDocument) => void
  readonly setTemplateEnabled: (name: string, enabled: boolean) => void
  /** The next `count` requests (default 1) take effect and are not answered. */
  readonly dropNextAnswer: (action: ProvisioningAction, count?: number) => void
  /** The next `count` requests (default 1) take no effect and are refused. */
  readonly failNext: (action: ProvisioningAction, refusal: ProvisioningRefusal, count?: number) => void
  /** For so long after RegisterThing the certificate, its policies and its thing are not seen. Default 0. */
  activationDelayMs: number
  /** How long a hook may take. Default 5000, as at AWS. */
  hookLimitMs: number
  /** What hooks were asked and said, oldest first. */
  readonly hookCalls: readonly { readonly event: HookEvent; readonly allowed: boolean }[]
}
