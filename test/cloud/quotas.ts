/** What AWS allows an account in one region, in requests a second, by `service:action`. */
const defaultQuotas: Readonly<Record<string, number>> = {
  'credentials:AssumeRoleWithCertificate': 100,
  'iot:Connect': 500,
  'iot-jobs:DescribeJobExecution': 200,
  'iot-jobs:GetPendingJobExecutions': 200,
  'iot-jobs:StartNextPendingJobExecution': 200,
  'iot-jobs:UpdateJobExecution': 200,
  'iot-provisioning:CreateCertificateFromCsr': 20,
  'iot-provisioning:RegisterThing': 10,
  'logs:CreateLogGroup': 10,
  'logs:CreateLogStream': 50,
  'logs:PutLogEvents': 5000,
  'secretsmanager:BatchGetSecretValue': 100,
}

interface Bucket {
  tokens: number
  filledAtMs: number
}

/** A token bucket for every action that has a quota: one second's worth at once, then the steady rate. */
export class Quotas {
  readonly #perSecond = new Map(Object.entries(defaultQuotas))
  readonly #buckets = new Map<string, Bucket>()
  #scale = 1
  #enforced = true

  /** Sets the quota of an action; undefined lifts it. */
  set(service: string, action: string, perSecond: number | undefined): void {
    const key = `${service}:${action}`
    this.#buckets.delete(key)
    if (perSecond === undefined) this.#perSecond.delete(key)
    else this.#perSecond.set(key, perSecond)
  }

  /** Multiplies every quota: 0.1 stands for a tenth of AWS's. */
  scale(factor: number): void {
    this.#scale = factor
    this.#buckets.clear()
  }

  enforce(enforced: boolean): void {
    this.#enforced = enforced
  }

  /** Takes one request out of the quota; false when it is used up. */
  take(service: string, action: string): boolean {
    const key = `${service}:${action}`
    const quota = this.#perSecond.get(key)
    if (!this.#enforced || quota === undefined) return true
    return this.#takeFrom(key, quota * this.#scale)
  }

  /** As `take`, for a limit that AWS raises for nobody and that therefore is not scaled. */
  takeFixed(key: string, perSecond: number): boolean {
    return !this.#enforced || this.#takeFrom(key, perSecond)
  }

  #takeFrom(key: string, perSecond: number): boolean {
    const bucket = this.#fill(key, perSecond)
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }

  #fill(key: string, perSecond: number): Bucket {
    const nowMs = performance.now()
    const most = Math.max(1, perSecond)
    const bucket = this.#buckets.get(key) ?? { tokens: most, filledAtMs: nowMs }
    bucket.tokens = Math.min(most, bucket.tokens + ((nowMs - bucket.filledAtMs) / 1000) * perSecond)
    bucket.filledAtMs = nowMs
    this.#buckets.set(key, bucket)
    return bucket
  }
}
