//! One order: account → order → challenges → certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::{AcmeError, Challenges, Pair, Store};
use crate::config::{Acme, Challenge, Domains};

/// How long the authority is asked whether it is done, with one thing of an order.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));
/// What an authority says of an account that it does not know.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Orders a certificate for these domains, and keeps it.
pub(super) async fn order(
    acme: &Acme,
    domains: &Domains,
    store: &Store,
    challenges: &Challenges,
) -> Result<Pair, AcmeError> {
    let account = account(acme, store).await?;
    let names: Vec<String> = domains.iter().map(ToString::to_string).collect();
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = match account.new_order(&NewOrder::new(&identifiers)).await {
        Ok(order) => order,
        Err(error) => {
            if is_no_account(&error) {
                // The next attempt makes one.
                store.forget_account()?;
            }
            return Err(error.into());
        }
    };
    answer(&mut order, acme, challenges).await?;
    match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Ready) => {}
        ended => return Err(why(&mut order, ended).await),
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    store.keep_certificate(&key.serialize_pem(), &chain).await
}

/// The account with the authority, made where there is none.
async fn account(acme: &Acme, store: &Store) -> Result<Account, AcmeError> {
    let builder = match &acme.ca_file {
        Some(path) => Account::builder_with_root(path)
            .map_err(|source| AcmeError::Root { path: path.clone(), source })?,
        None => Account::builder()?,
    };
    if let Some(credentials) = store.account()? {
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        // The configuration is not accepted without.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = builder.create(&new, acme.directory.to_string(), None).await?;
    store.keep_account(&credentials).await?;
    Ok(account)
}

/// Shows what is asked for each domain, and says that it is there to be seen.
async fn answer(order: &mut Order, acme: &Acme, challenges: &Challenges) -> Result<(), AcmeError> {
    let wanted = match acme.challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 { .. } => ChallengeType::Http01,
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // It was shown for an earlier order.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let mut challenge = authorization.challenge(wanted.clone()).ok_or_else(|| {
            AcmeError::NoChallenge { domain: domain.clone(), wanted: wanted.clone() }
        })?;
        let key = challenge.key_authorization();
        match acme.challenge {
            Challenge::TlsAlpn01 => challenges.show_certificate(&domain, &key)?,
            Challenge::Http01 { .. } => challenges.show_answer(&challenge.token, &key),
        }
        challenge.set_ready().await?;
    }
    Ok(())
}

/// Why an order failed: what the authority says of a domain is more than what it says of the
/// order.
async fn why(order: &mut Order, ended: Result<OrderStatus, instant_acme::Error>) -> AcmeError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let domain = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { break };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone())
        {
            return AcmeError::NotShown { domain, problem: Box::new(problem) };
        }
    }
    match ended {
        Ok(status) => AcmeError::Order(status),
        Err(error) => error.into(),
    }
}

fn is_no_account(error: &instant_acme::Error) -> bool {
    match error {
        instant_acme::Error::Api(problem) => problem.r#type.as_deref() == Some(NO_ACCOUNT),
        _ => false,
    }
}
