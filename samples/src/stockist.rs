//! The inventory's procedures: answered here, or by the instance that owns the item.

use omnirelay_proto::samples::v1::{
    AdjustStockRequest, AdjustStockResponse, GetStockRequest, GetStockResponse,
};
use relay_rpc::{Call, Reply, Status};

use crate::contracts::Inventory;
use crate::inventory::Stock;
use crate::ownership::{Ownership, Place};

/// An instance of the inventory.
pub(crate) struct Stockist {
    pub(crate) ownership: Ownership,
    pub(crate) stock: Stock,
}

impl Stockist {
    fn served_by(&self) -> String {
        self.ownership.own_name().to_owned()
    }
}

impl Inventory for Stockist {
    async fn get_stock(
        &self,
        call: Call,
        request: GetStockRequest,
    ) -> Result<Reply<GetStockResponse>, Status> {
        match self.ownership.place(&request.item, &call).await? {
            Place::Here => {
                let count = self.stock.count(&request.item)?;
                Ok(GetStockResponse { item: request.item, count, served_by: self.served_by() }.into())
            }
            Place::There(owner) => {
                let reply = self.ownership.owner(&owner, &call).await?.get_stock(request).await?;
                Ok(reply.into_message().into())
            }
        }
    }

    async fn adjust_stock(
        &self,
        call: Call,
        request: AdjustStockRequest,
    ) -> Result<Reply<AdjustStockResponse>, Status> {
        match self.ownership.place(&request.item, &call).await? {
            Place::Here => {
                let count = self.stock.adjust(&request.item, request.by)?;
                Ok(AdjustStockResponse { item: request.item, count, served_by: self.served_by() }.into())
            }
            Place::There(owner) => {
                let reply = self.ownership.owner(&owner, &call).await?.adjust_stock(request).await?;
                Ok(reply.into_message().into())
            }
        }
    }
}
