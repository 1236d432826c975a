/** An IAM policy as the evaluator reads it: every "one or many" is a list, every condition value a string. */
export interface PolicyDocument {
  readonly version: '2012-10-17'
  readonly statements: readonly PolicyStatement[]
}

export interface PolicyStatement {
  readonly sid?: string
  readonly effect: 'Allow' | 'Deny'
  /** Absent in identity policies; `AWS`, `Service` or `*` in resource and trust policies. */
  readonly principals?: Readonly<Record<string, readonly string[]>>
  readonly actions: readonly string[]
  /** Absent in trust policies. */
  readonly resources?: readonly string[]
  readonly conditions: readonly PolicyCondition[]
}

export interface PolicyCondition {
  /** Such as `StringEquals` or `ArnLikeIfExists`. */
  readonly operator: string
  readonly key: string
  readonly values: readonly string[]
}
